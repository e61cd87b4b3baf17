"""Strided convolutions that halve images, and transposed ones that bring them back to their size."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

Size: TypeAlias = tuple[int, int]
"""(H, W) in pixels."""

KERNEL = 4
_STRIDE = 2


def sizes_of_halvings(size: Size, number: int, kernel: int = KERNEL) -> tuple[Size, ...]:
    """The size of an image, and behind each of so many `halving`.

    Half of an odd length is rounded down where the kernel's is even, and up where it is odd.

    Raises:
        ValueError: an image of a single row or column is to be halved.
    """
    sizes = [size]
    for _ in range(number):
        if min(sizes[-1]) < _STRIDE:
            raise ValueError(
                f"images of (H, W) = {size} become {sizes[-1]}, which cannot be halved; expected at least "
                f"{_STRIDE} x {_STRIDE} pixels"
            )
        height, width = sizes[-1]
        sizes.append(((height + kernel % 2) // _STRIDE, (width + kernel % 2) // _STRIDE))
    return tuple(sizes)


def halving(given: int, made: int, kernel: int = KERNEL, bias: bool = False) -> nn.Conv2d:
    """Make a convolution of that many channels to half the size; its kernel has an edge of 2 or more."""
    return nn.Conv2d(given, made, kernel, _STRIDE, _padding(kernel), bias=bias)


def doubling(given: int, made: int, size: Size, kernel: int = KERNEL, bias: bool = False) -> nn.ConvTranspose2d:
    """Make a transposed convolution of that many channels from half a size to that size."""
    lacking = ((size[0] + kernel) % 2, (size[1] + kernel) % 2)
    return nn.ConvTranspose2d(given, made, kernel, _STRIDE, _padding(kernel), output_padding=lacking, bias=bias)


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2
