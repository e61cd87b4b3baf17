"""Convolutions of stride 2 from images down to a vector, and from a vector up to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from gradcon_ext.reproduce.baselines.halving import KERNEL, Size, doubling, halving, sizes_of_halvings

_NEGATIVE_SLOPE = 0.2
_DEVIATION = 0.02


class Pyramid(NamedTuple):
    """The sizes of both networks for images of one shape.

    This is how the networks of Radford et al. (2016), and after them of Pidhorskyi et al. (2018) and Perera et al.
    (2019) are built: every weight is drawn from a normal distribution of deviation 0.02, and batches are normalised
    behind each layer but the one next to the images and the one that makes the vector; these two have biases.

    Attributes:
        channels: of the images, and behind each convolution that halves them.
        sizes: (H, W) of the images, and behind each of these convolutions.
        kernel: their height and width.
    """

    channels: tuple[int, ...]
    sizes: tuple[Size, ...]
    kernel: int

    @classmethod
    def over(cls, shape: tuple[int, int, int], channels: Sequence[int], kernel: int = KERNEL) -> Pyramid:
        """Work out the sizes.

        Args:
            shape: (C, H, W) of the images.
            channels: behind each convolution.
            kernel: their height and width.

        Raises:
            ValueError: images that are too small to be halved by each convolution.
        """
        given, height, width = shape
        return cls((given, *channels), sizes_of_halvings((height, width), len(channels), kernel), kernel)

    def downwards(self, made: int) -> nn.Sequential:
        """Make the network from images (N, C, H, W) to vectors (N, `made`); its last layer is linear."""
        return _drawn(nn.Sequential(*self._halving(), nn.Flatten(), nn.Linear(self._features, made)))

    def upwards(self, given: int) -> nn.Sequential:
        """Make the network from vectors (N, `given`) to images (N, C, H, W), whose values have no bounds."""
        first = nn.Linear(given, self._features, bias=False)
        return _drawn(nn.Sequential(first, nn.Unflatten(1, self._smallest), *self._doubling()))

    @property
    def _smallest(self) -> tuple[int, int, int]:
        return (self.channels[-1], *self.sizes[-1])

    @property
    def _features(self) -> int:
        return torch.Size(self._smallest).numel()

    def _halving(self) -> Iterator[nn.Module]:
        for position, (given, made) in enumerate(pairwise(self.channels)):
            is_first = position == 0
            yield halving(given, made, self.kernel, bias=is_first)
            if not is_first:
                yield nn.BatchNorm2d(made)
            yield nn.LeakyReLU(_NEGATIVE_SLOPE)

    def _doubling(self) -> Iterator[nn.Module]:
        for position, (made, given) in reversed(list(enumerate(pairwise(self.channels)))):
            yield nn.BatchNorm2d(given)
            yield nn.ReLU()
            yield doubling(given, made, self.sizes[position], self.kernel, bias=position == 0)


def dense(widths: Sequence[int], activation: nn.Module, *, normalised: bool) -> nn.Sequential:
    """Make a network of linear layers with an activation between them, and batches normalised before it if asked for.

    Args:
        widths: features of the input, and behind each layer.
        activation: without any weight, since all layers share it.
        normalised: whether there is batch normalisation.
    """
    layers: list[nn.Module] = []
    for position, (given, made) in enumerate(pairwise(widths)):
        if position > 0:
            layers += [*([nn.BatchNorm1d(given)] if normalised else []), activation]
        layers.append(nn.Linear(given, made))
    return _drawn(nn.Sequential(*layers))


def _drawn(network: nn.Sequential) -> nn.Sequential:
    """Draw the weights anew, and return the network."""
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
