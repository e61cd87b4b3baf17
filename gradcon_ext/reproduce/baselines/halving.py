"""Strided convolutions that halve images, and transposed ones that bring them back to their size."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

Size: TypeAlias = tuple[int, int]
"""(H, W) in pixels."""

_KERNEL = 4
_STRIDE = 2
_PADDING = 1


def halved(size: Size) -> Size:
    """The size of an image after `halving`; half of an odd number is rounded down.

    Raises:
        ValueError: an image of a single row or column.
    """
    if min(size) < _STRIDE:
        raise ValueError(f"images of (H, W) = {size} cannot be halved; expected at least {_STRIDE} x {_STRIDE} pixels")
    return size[0] // 2, size[1] // 2


def halving(given: int, made: int, bias: bool = False) -> nn.Conv2d:
    """Make a convolution of that many channels to half the size."""
    return nn.Conv2d(given, made, _KERNEL, _STRIDE, _PADDING, bias=bias)


def doubling(given: int, made: int, size: Size, bias: bool = False) -> nn.ConvTranspose2d:
    """Make a transposed convolution of that many channels from half a size to that size."""
    odd = (size[0] % 2, size[1] % 2)
    return nn.ConvTranspose2d(given, made, _KERNEL, _STRIDE, _PADDING, output_padding=odd, bias=bias)
