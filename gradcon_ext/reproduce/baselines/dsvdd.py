"""Deep support vector data description, one-class (Ruff et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.contrast import contrast_normalised
from gradcon_ext.reproduce.baselines.lenet import LeNet
from gradcon_ext.training.seeding import seeded

BATCH_SIZE = 200
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 5e-7
LEAST_CENTRE = 0.1
"""How near to 0 a component of the centre may be: one at 0 is easily matched by weights of 0."""


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int
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
        _minimise(nn.Sequential(encoder, sizes.decoder()), mse_loss, images, max(1, epochs // 3))
        centre = _centre(_codes(encoder, images))
        _minimise(encoder, lambda codes, _: _distances(codes, centre).mean(), images, epochs)
    return _distances(_codes(encoder, scored), centre).double().numpy()


def _minimise(network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], images: Tensor, epochs: int) -> None:
    """Train a network by the loss of its outputs and their images, and leave it in evaluation mode."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [epochs - epochs // 3])
    network.train()
    for _ in range(epochs):
        for indices in torch.split(torch.randperm(len(images)), BATCH_SIZE):
            batch = images[indices]
            optimizer.zero_grad()
            torch.autograd.backward(loss(network(batch), batch))
            optimizer.step()
        schedule.step()
    network.eval()


@torch.no_grad()
def _codes(encoder: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs (N, D) for images (N, C, H, W)."""
    return torch.cat([encoder(batch) for batch in torch.split(images, BATCH_SIZE)])


def _centre(codes: Tensor) -> Tensor:
    """Return the mean (D,) of codes (N, D), its components moved away from 0 to `LEAST_CENTRE` if need be."""
    mean = codes.mean(0)
    return mean.abs().clamp(min=LEAST_CENTRE).copysign(mean)


def _distances(codes: Tensor, centre: Tensor) -> Tensor:
    """Return the squared distance (N,) of each code to the centre."""
    return (codes - centre).square().sum(1)
