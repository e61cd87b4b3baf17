"""Where in an image something is, in words."""

from __future__ import annotations

from torch import Tensor

_ROWS = ("at the top", "in the middle", "at the bottom")
_COLUMNS = ("left", "", "right")


def brightest_place(values: Tensor) -> str:
    """Return which ninth of a map (H, W) holds its highest value, such as "at the top left"."""
    height, width = values.shape
    row, column = divmod(int(values.argmax()), width)
    return f"{_ROWS[3 * row // height]} {_COLUMNS[3 * column // width]}".strip()
