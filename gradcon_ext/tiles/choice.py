"""What to do with images where nobody says it: whole, or in tiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gradcon_ext.tiles.tiling import Tiling

WHOLE = 64
"""Pixels a side up to which images are scored whole."""
HALVED = 256
"""Pixels a side from which tiles are cut at half size."""
_TILE = 32


class Choice(NamedTuple):
    """How images are to be scored.

    Attributes:
        size: height and width of whole images; None for tiles.
        tiling: of the tiles; None for whole images.
        reason: what was chosen and why, as one line.
    """

    size: tuple[int, int] | None
    tiling: Tiling | None
    reason: str


def choose(sizes: Iterable[tuple[int, int]]) -> Choice:
    """Choose between whole images and tiles, so that neither detail nor proportions are lost.

    Images of one size, up to 64 pixels a side, are scored whole, at that size. All others are cut into tiles of 32
    pixels, 16 apart: at half size if the shorter side of the smallest image has 256 pixels or more, otherwise as they
    are.

    Args:
        sizes: height and width of each image.

    Raises:
        ValueError: there are none.
    """
    different = set(sizes)
    if not different:
        raise ValueError("there are no images to choose a size for")
    largest = max(max(size) for size in different)
    if len(different) == 1 and largest <= WHOLE:
        size = next(iter(different))
        return Choice(size, None, f"{_text(size)} -> whole images: all have that size, of {WHOLE} pixels at most")
    scale = 0.5 if min(min(size) for size in different) >= HALVED else 1.0
    why = f"larger than {WHOLE} pixels" if largest > WHOLE else "of several sizes"
    by_shorter_side = sorted(different, key=sorted)
    given = _text(by_shorter_side[0]) + ("" if len(different) == 1 else f" to {_text(by_shorter_side[-1])}")
    at = "half size" if scale < 1 else "full size"
    return Choice(None, Tiling(_TILE, _TILE // 2, scale), f"{given} -> tiles of {_TILE} at {at}: images are {why}")


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
