"""Height and width of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gradcon_ext.data.whole_numbers import is_whole

Size: TypeAlias = int | Sequence[int]


def height_width(size: Size) -> tuple[int, int]:
    """Return `size`, one number for a square or (H, W), as (H, W).

    Raises:
        ValueError: not one or two positive whole numbers.
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(is_whole(length, 1) for length in pair):
        raise ValueError(f"size must be a positive number of pixels or (height, width), got {size!r}")
    height, width = map(int, pair)
    return height, width
