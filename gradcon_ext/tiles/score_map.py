"""Scores of tiles on the pixels of their image."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolated(
    scores: Tensor, centers: tuple[Tensor, Tensor], extent: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Return scores (rows, columns) of tiles on all pixels (H, W), linear between the centers of tiles.

    Beyond the outermost centers they are those of the nearest tile.

    Args:
        scores: of the tiles.
        centers: of the rows (rows,) and of the columns (columns,) of tiles, ascending.
        extent: height and width of the image in the units of the centers.
        size: H and W.
    """
    for axis in (0, 1):
        lower, upper, share = _between(centers[axis].double(), extent[axis], size[axis])
        weights = (share[:, None] if axis == 0 else share).to(scores)
        scores = torch.lerp(scores.index_select(axis, lower), scores.index_select(axis, upper), weights)
    return scores


def _between(centers: Tensor, extent: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The centers before and after each pixel, and how far it is on the way from one to the other."""
    position = (torch.arange(length).to(centers) + 0.5) * (extent / length)
    upper = torch.searchsorted(centers, position).clamp_(max=len(centers) - 1)
    lower = (upper - 1).clamp_(min=0)
    gap = centers[upper] - centers[lower]
    share = (position - centers[lower]) / torch.where(gap > 0, gap, 1.0)
    return lower, upper, share.clamp_(0, 1)
