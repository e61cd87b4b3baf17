"""Deep autoencoder of fully connected layers, scored by its reconstruction error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.losses import squared_error
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.training.seeding import seeded
from gradcon_ext.training.trainer import Trainer

WIDTHS = (512, 256, 128, 32)
"""Features behind each layer of the encoder; the last ones are the code."""


class DenseAutoencoder(nn.Module):
    """Linear layers down to a code and back, with ReLUs between and a sigmoid at the end.

    Args:
        shape: (C, H, W) of the images.
    """

    loss = staticmethod(squared_error)

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        widths = (torch.Size(shape).numel(), *WIDTHS)
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(widths))
        self.decoder = nn.Sequential(*_layers(widths[::-1]), nn.Sigmoid(), nn.Unflatten(1, shape))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W) with pixels in [0, 1]."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the mean squared error of a `DenseAutoencoder`.

    It is trained as the paper's models are but without the constraint, and is that of the epoch with the lowest
    error on `validation`; see `Baseline.score`.
    """
    _, channels, height, width = train.shape
    with seeded(torch.device("cpu"), seed):
        model = DenseAutoencoder((channels, height, width))
    detector = Trainer(model, alpha=0, epochs=epochs, seed=seed, progress=False).fit(train, validation)
    return Scorer.from_detector(detector).score(test).reconstruction.double().numpy()


def _layers(widths: Sequence[int]) -> Iterator[nn.Module]:
    for position, (given, made) in enumerate(pairwise(widths)):
        if position > 0:
            yield nn.ReLU()
        yield nn.Linear(given, made)
