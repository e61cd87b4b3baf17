"""Convolutions of stride 2 from images down to a vector, and from a vector up to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import nn

_NEGATIVE_SLOPE = 0.2
_DEVIATION = 0.02


class Pyramid(NamedTuple):
    """The sizes of both networks for images of one shape.

    This is how the networks of Pidhorskyi et al. (2018) and Perera et al. (2019) are built: every weight is drawn from
    a normal distribution of deviation 0.02, and batches are normalised but next to the images and to the vector.

    Attributes:
        channels: of the images, and behind each convolution that halves them.
        sizes: (H, W) of the images, and behind each of these convolutions.
        kernel: their height and width.
    """

    channels: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    kernel: int

    @classmethod
    def over(cls, shape: tuple[int, int, int], channels: Sequence[int], kernel: int) -> Pyramid:
        """Work out the sizes.

        Args:
            shape: (C, H, W) of the images.
            channels: behind each convolution.
            kernel: their height and width.

        Raises:
            ValueError: images that are too small to be halved by each convolution.
        """
        given, *size = shape
        sizes = [(size[0], size[1])]
        for _ in channels:
            height, width = sizes[-1]
            sizes.append((_halved(height, kernel), _halved(width, kernel)))
        if min(sizes[-1]) < 1:
            least = 2 ** len(channels)
            raise ValueError(f"images have shape (C, H, W) = {shape}; expected at least {least} x {least} pixels")
        return cls((given, *channels), tuple(sizes), kernel)

    def downwards(self, features: int) -> nn.Sequential:
        """Make the network from images (N, C, H, W) to vectors (N, `features`)."""
        last = nn.Conv2d(self.channels[-1], features, self.sizes[-1])
        return _drawn(nn.Sequential(*self._halving(), last, nn.Flatten()))

    def upwards(self, features: int) -> nn.Sequential:
        """Make the network from vectors (N, `features`) to images (N, C, H, W), whose values have no bounds."""
        first = nn.ConvTranspose2d(features, self.channels[-1], self.sizes[-1])
        return _drawn(nn.Sequential(nn.Unflatten(1, (features, 1, 1)), first, *self._doubling()))

    def _halving(self) -> Iterator[nn.Module]:
        for position, (given, made) in enumerate(pairwise(self.channels)):
            yield nn.Conv2d(given, made, self.kernel, stride=2, padding=_padding(self.kernel))
            if position > 0:
                yield nn.BatchNorm2d(made)
            yield nn.LeakyReLU(_NEGATIVE_SLOPE)

    def _doubling(self) -> Iterator[nn.Module]:
        padding = _padding(self.kernel)
        for (given, made), sizes in zip(pairwise(self.channels[::-1]), pairwise(self.sizes[::-1]), strict=True):
            lacking = [
                after - (2 * (before - 1) + self.kernel - 2 * padding) for before, after in zip(*sizes, strict=True)
            ]
            yield nn.BatchNorm2d(given)
            yield nn.ReLU()
            yield nn.ConvTranspose2d(
                given, made, self.kernel, stride=2, padding=padding, output_padding=(lacking[0], lacking[1])
            )


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


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2


def _halved(length: int, kernel: int) -> int:
    return (length + 2 * _padding(kernel) - kernel) // 2 + 1


def _drawn(network: nn.Sequential) -> nn.Sequential:
    """Draw the weights anew, and return the network."""
    for module in network:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
