"""The residual encoder and decoder of AND (Abati et al., 2019)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradcon_ext.reproduce.baselines.halving import Size, doubling, halving, sizes_of_halvings

_KERNEL = 3
_PADDING = 1
_NEGATIVE_SLOPE = 0.01


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, beside one that is added to them; the first of each resizes.

    Args:
        first: resizes, to `channels`.
        beside: likewise.
        channels: that the block makes.
    """

    def __init__(self, first: nn.Module, beside: nn.Module, channels: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            first,
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(_NEGATIVE_SLOPE),
            nn.Conv2d(channels, channels, _KERNEL, padding=_PADDING, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.beside = nn.Sequential(beside, nn.BatchNorm2d(channels))
        self.activation = nn.LeakyReLU(_NEGATIVE_SLOPE)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H', W')."""
        made: Tensor = self.activation(self.path(images) + self.beside(images))
        return made


class ResidualCoder(NamedTuple):
    """The sizes of both networks for images of one shape.

    Attributes:
        channels: of the images, and behind each block.
        sizes: (H, W) of the images, and behind each block.
        hidden: features of the layers next to the code.
        code: features of a code.
    """

    channels: tuple[int, ...]
    sizes: tuple[Size, ...]
    hidden: int
    code: int

    @classmethod
    def for_images(cls, shape: tuple[int, int, int], code: int) -> ResidualCoder:
        """Take two blocks if the images are grey, three if not, as Abati et al. (2019) do for MNIST and CIFAR-10.

        They are half and a quarter as wide as theirs, which have another block at full size for CIFAR-10.

        Args:
            shape: (C, H, W) of the images.
            code: features of a code.

        Raises:
            ValueError: images that are too small to be halved by each block.
        """
        channels, height, width = shape
        made, hidden = ((16, 32), 64) if channels == 1 else ((16, 32, 64), 256)
        return cls((channels, *made), sizes_of_halvings((height, width), len(made)), hidden, code)

    def encoder(self) -> nn.Sequential:
        """Make the network from images (N, C, H, W) to codes (N, D) with components in [0, 1]."""
        blocks = (
            ResidualBlock(halving(given, made), halving(given, made), made) for given, made in pairwise(self.channels)
        )
        dense = (*_dense(self._features, self.hidden), nn.Linear(self.hidden, self.code), nn.Sigmoid())
        return nn.Sequential(*blocks, nn.Flatten(), *dense)

    def decoder(self) -> nn.Sequential:
        """Make the network back to images."""
        dense = (*_dense(self.code, self.hidden), *_dense(self.hidden, self._features))
        channels = (*self.channels[:0:-1], self.channels[1])
        blocks = (
            ResidualBlock(doubling(given, made, size), doubling(given, made, size), made)
            for (given, made), size in zip(pairwise(channels), self.sizes[-2::-1], strict=True)
        )
        to_pixels = nn.Conv2d(channels[-1], self.channels[0], 1)
        return nn.Sequential(*dense, nn.Unflatten(1, self._latent_shape), *blocks, to_pixels)

    @property
    def _latent_shape(self) -> tuple[int, int, int]:
        return (self.channels[-1], *self.sizes[-1])

    @property
    def _features(self) -> int:
        return torch.Size(self._latent_shape).numel()


def _dense(given: int, made: int) -> tuple[nn.Module, ...]:
    return nn.Linear(given, made), nn.BatchNorm1d(made), nn.LeakyReLU(_NEGATIVE_SLOPE)
