"""The networks of Deep SVDD: a LeNet without biases, and what turns its codes back to images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from torch import nn

_KERNEL = 5
_PADDING = 2
_NEGATIVE_SLOPE = 0.1


class LeNet(NamedTuple):
    """The sizes of both networks for images of one shape.

    Attributes:
        channels: of the images, and behind each module of convolution and pooling.
        sizes: (H, W) of the images, and behind each module.
        code: features of a code.
    """

    channels: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    code: int

    @classmethod
    def for_images(cls, shape: tuple[int, int, int]) -> LeNet:
        """Take the sizes of Ruff et al. (2018, section 4): those for MNIST if grey, those for CIFAR-10 if not.

        Args:
            shape: (C, H, W) of the images.

        Raises:
            ValueError: images that are too small to be halved by each module.
        """
        channels, height, width = shape
        made, code = ((8, 4), 32) if channels == 1 else ((32, 64, 128), 128)
        least = 2 ** len(made)
        if min(height, width) < least:
            raise ValueError(f"images have shape (C, H, W) = {shape}; expected at least {least} x {least} pixels")
        sizes = tuple((height >> halved, width >> halved) for halved in range(len(made) + 1))
        return cls((channels, *made), sizes, code)

    @property
    def _latent_shape(self) -> tuple[int, int, int]:
        return (self.channels[-1], *self.sizes[-1])

    @property
    def _features(self) -> int:
        channels, height, width = self._latent_shape
        return channels * height * width

    def encoder(self) -> nn.Sequential:
        """Make the network from images (N, C, H, W) to codes (N, D).

        It has no biases, nor shifts in the normalisation, lest it learn to map every image to the centre (Ruff et
        al., 2018, proposition 2).
        """
        modules = (layer for given, made in pairwise(self.channels) for layer in _downwards(given, made))
        return nn.Sequential(*modules, nn.Flatten(), nn.Linear(self._features, self.code, bias=False))

    def decoder(self) -> nn.Sequential:
        """Make the network back to images: transposed convolutions, with upsampling in the place of pooling."""
        expansion = (nn.Linear(self.code, self._features, bias=False), nn.Unflatten(1, self._latent_shape))
        modules = [
            layer
            for (given, made), size in zip(pairwise(self.channels[::-1]), self.sizes[-2::-1], strict=True)
            for layer in _upwards(given, made, size)
        ]
        return nn.Sequential(*expansion, *modules, nn.Sigmoid())


def _downwards(given: int, made: int) -> Iterator[nn.Module]:
    yield nn.Conv2d(given, made, _KERNEL, padding=_PADDING, bias=False)
    yield nn.BatchNorm2d(made, affine=False)
    yield nn.LeakyReLU(_NEGATIVE_SLOPE)
    yield nn.MaxPool2d(2)


def _upwards(given: int, made: int, size: tuple[int, int]) -> Iterator[nn.Module]:
    yield nn.BatchNorm2d(given, affine=False)
    yield nn.LeakyReLU(_NEGATIVE_SLOPE)
    yield nn.Upsample(size)
    yield nn.ConvTranspose2d(given, made, _KERNEL, padding=_PADDING, bias=False)
