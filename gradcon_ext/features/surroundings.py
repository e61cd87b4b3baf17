"""Means of feature maps over squares around each position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone calls it


def checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of squares.

    Raises:
        ValueError: they are no list or tuple of odd numbers from 3.
    """
    if not isinstance(sizes, list | tuple) or not all(map(_has_center, sizes)):
        raise ValueError(f"surroundings must be odd numbers of positions from 3, such as [5, 13]; got {sizes!r}")
    return tuple(sizes)


def with_surroundings(maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return maps (N, C, h, w) and their means over squares of those sizes, (N, C * (1 + number of sizes), h, w).

    At an edge the mean is that of the positions within the map.
    """
    return torch.cat([maps, *(_means(maps, size) for size in sizes)], 1)


def _means(maps: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(maps, size, stride=1, padding=size // 2, count_include_pad=False)


def _has_center(size: object) -> bool:
    return isinstance(size, int) and size >= 3 and size % 2 == 1
