"""Deep support vector data description, one-class (Ruff et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.contrast import contrast_normalised
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, in_batches, shuffled
from gradcon_ext.reproduce.baselines.lenet import LeNet
from gradcon_ext.training.seeding import seeded

BATCH_SIZE = 200
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 5e-7
LEAST_CENTRE = 0.1
"""How near to 0 a component of the centre may be: one at 0 is easily matched by weights of 0."""


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the squared distance of a network's output to a centre that those of `train` were drawn to.

    As in Ruff et al. (2018, section 4), the network begins as the encoder of an autoencoder. That is trained for a
    third as many epochs, fewer than theirs; the learning rate falls to a tenth for the last third of each training.

    `validation` does not matter; see `Baseline.score`.
    """
    images, scored = (torch.from_numpy(some).float() for some in contrast_normalised(train, test))
    sizes = LeNet.for_images((images.shape[1], images.shape[2], images.shape[3]))
    with seeded(torch.device("cpu"), seed):
        encoder = sizes.encoder()
        autoencoder = nn.Sequential(encoder, sizes.decoder())
        _minimise("autoencoder", autoencoder, mse_loss, images, max(1, epochs // 3), checkpoints)
        centre = _centre(in_batches(encoder, images, BATCH_SIZE))
        _minimise("encoder", encoder, lambda codes, _: _distances(codes, centre).mean(), images, epochs, checkpoints)
    return _distances(in_batches(encoder, scored, BATCH_SIZE), centre).double().numpy()


def _minimise(
    name: str,
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    epochs: int,
    checkpoints: Checkpoints,
) -> None:
    """Train a network by the loss of its outputs and their images, and leave it in evaluation mode."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def one_epoch(epoch: int) -> None:
        is_late = epoch >= epochs - epochs // 3
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (0.1 if is_late else 1)
        for batch in shuffled(images, BATCH_SIZE):
            descend(optimizer, loss(network(batch), batch))

    fit(Training(name, {"network": network}, {"adam": optimizer}, one_epoch), epochs, checkpoints)


def _centre(codes: Tensor) -> Tensor:
    """Return the mean (D,) of codes (N, D), its components moved away from 0 to `LEAST_CENTRE` if need be."""
    mean = codes.mean(0)
    return mean.abs().clamp(min=LEAST_CENTRE).copysign(mean)


def _distances(codes: Tensor, centre: Tensor) -> Tensor:
    """Return the squared distance (N,) of each code to the centre."""
    return (codes - centre).square().sum(1)
