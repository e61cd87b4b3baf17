"""What to do with images where nobody says it: at which size, and whole or in tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, prod
from statistics import median
from typing import NamedTuple

from gradcon_ext.tiles.tiling import Tiling

WHOLE = 64
"""Pixels a side up to which images are scored whole."""
HALVED = 256
"""Pixels a side from which tiles are cut at half size."""
_TILE = 32
_MOST_SHRINKING = 2
_MOST_GROWING = 4

_Size = tuple[int, int]


class Choice(NamedTuple):
    """How images are to be scored.

    Attributes:
        size: height and width that images are brought to; None for tiles of images at their own sizes.
        tiling: of the tiles; None for whole images.
        reason: what was chosen and why, as one line.
    """

    size: _Size | None
    tiling: Tiling | None
    reason: str


def choose(sizes: Iterable[_Size]) -> Choice:
    """Choose a size, and between whole images and tiles, so that no detail is lost.

    Images of several sizes are brought to one, so that each tile is compared with those of its own place: the median of
    each side, or half of the largest where that is more. They stay as they are where a side of one would grow more than
    four times.

    Up to 64 pixels a side they are scored whole. All others are cut into tiles of 32 pixels, 16 apart, with even
    contrast: at half size if the shorter side has 256 pixels or more, of the smallest image where all stay as they are.
    Along a side of less than 32 pixels, of the largest image there, a tile is as long as that.

    Args:
        sizes: height and width of each image.

    Raises:
        ValueError: there are none.
    """
    given = list(sizes)
    if not given:
        raise ValueError("there are no images to choose a size for")
    are_alike = len(set(given)) == 1
    common = given[0] if are_alike else _common(given)
    if common is not None and max(common) <= WHOLE:
        why = "all have that size" if are_alike else f"of several sizes, brought to {_option(common)}"
        return Choice(common, None, f"{_range(given)} -> whole images: {why}, of {WHOLE} pixels at most")
    halved = min(common or map(min, given)) >= HALVED
    tile = tuple(min(_TILE, side) for side in common or max(given, key=prod))
    tiling = Tiling(tile, scale=0.5 if halved else 1.0, even_contrast=True)
    size = None if are_alike else common
    at = "" if size is None else f"all at {_option(size)}, "
    of = _TILE if tile == (_TILE, _TILE) else _text(tiling.size)
    tiles = f"tiles of {of} at {'half' if halved else 'full'} size with even contrast"
    why = f"larger than {WHOLE} pixels" if common is not None else "of sizes too different for one"
    return Choice(size, tiling, f"{_range(given)} -> {at}{tiles}: images are {why}")


def _common(sizes: Sequence[_Size]) -> _Size | None:
    """The size that images of several sizes are brought to, if there is one."""
    sides = tuple(zip(*sizes, strict=True))
    height, width = (max(round(median(side)), ceil(max(side) / _MOST_SHRINKING)) for side in sides)
    grown = height / min(sides[0]), width / min(sides[1])
    return (height, width) if max(grown) <= _MOST_GROWING else None


def _range(sizes: Sequence[_Size]) -> str:
    by_shorter_side = sorted(set(sizes), key=sorted)
    smallest, largest = _text(by_shorter_side[0]), _text(by_shorter_side[-1])
    return smallest if len(by_shorter_side) == 1 else f"{smallest} to {largest}"


def _option(size: _Size) -> str:
    """As it is printed, width first, and as the option takes it."""
    return f"{_text(size)} (--size {size[0]}x{size[1]})"


def _text(size: _Size) -> str:
    return f"{size[1]}x{size[0]}"
