"""How far bands across feature maps depart from what else is in their columns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone calls it


def checked_heights(heights: Sequence[int]) -> tuple[int, ...]:
    """Return the heights of bands.

    Raises:
        ValueError: they are no list or tuple of odd positive numbers.
    """
    if not isinstance(heights, list | tuple) or not all(map(_has_middle, heights)):
        raise ValueError(f"bands must be odd numbers of rows, such as [7]; got {heights!r}")
    return tuple(heights)


def band_departures(maps: Tensor, heights: Sequence[int]) -> list[Tensor]:
    """Return, of each height, how far bands of so many rows depart from the rest of maps (N, C, h, w); (N, C, h, w).

    That is the mean, over the rows around a position and the whole width, of positions less the median of their column
    (of an even number of rows, the lower of the two in the middle). What runs down the image is the same all along a
    column and falls out; a part that is made differently stays. At the upper and lower edge the mean is that of the
    rows within the map.
    """
    if not heights:
        return []
    departures = (maps - maps.median(2, keepdim=True).values).mean(3, keepdim=True)
    return [_means_of_rows(departures, height).expand_as(maps) for height in heights]


def _means_of_rows(rows: Tensor, height: int) -> Tensor:
    return F.avg_pool2d(rows, (height, 1), stride=1, padding=(height // 2, 0), count_include_pad=False)


def _has_middle(height: object) -> bool:
    return isinstance(height, int) and not isinstance(height, bool) and height >= 1 and height % 2 == 1
