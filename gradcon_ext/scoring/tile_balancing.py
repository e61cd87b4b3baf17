"""Balances the score of tiles on images of inliers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from gradcon_ext.data.images import takes_features
from gradcon_ext.detector.balance import TERMS, at_length_1
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.places import Places, whitened
from gradcon_ext.detector.tile_balance import TileBalance
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.tile_scoring import BATCH, TileScorer
from gradcon_ext.tiles.pooling import Pooling
from gradcon_ext.tiles.tiling import TiledImage, Tiling

SHRINKAGE = 3.0
"""How many images' worth of the covariance of all places each place's own is mixed with."""

DIRECTIONS = 64
"""Along which codes are looked at."""

_MOST_NUMBERS = 1 << 26
"""Of a balance by places, unless it is asked for."""

_Grid: TypeAlias = tuple[int, int]
_Space: TypeAlias = tuple[Tensor, Tensor]
"""Mean (D,) and basis (D, K) that whiten codes."""

_SMALLEST_SHARE = 1e-7
"""Of the largest variance, below which a direction is rounding error."""


def balanced_tiles(
    detector: Detector,
    tiling: Tiling,
    train: Iterable[Tensor],
    held_out: Iterable[Tensor],
    *,
    by_place: bool | None = None,
    directions: int = DIRECTIONS,
    pooling: Pooling | None = None,
    device: str | torch.device = "cpu",
) -> Detector:
    """Return a detector that scores images by their tiles, and whose tiles have a balanced score.

    No outlier is needed: what codes vary along comes from training images, the scale of each part from held-out ones.
    Each image is looked at by itself, training images twice.

    Args:
        detector: trained on tiles of such images, as `random_tiles` cuts them.
        tiling: how to cut images.
        train: images (C, H, W), or feature maps, of inliers.
        held_out: such that it was not trained on; one at least.
        by_place: whether tiles are compared with training tiles of the same place in the image alone. That tells more
            where objects lie alike in all images, and takes images of one size. By default, if they are, unless there
            are so many places that the detector would take more than 256 MiB.
        directions: principal directions along which codes are compared; memory and the file grow with their square,
            times the number of places.
        pooling: what makes an image's score of its tiles'; the mean of the 3 largest by default.
        device: to score on.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images, none of them, scores that are not finite, or `by_place` with images of several sizes.
    """
    if directions < 1:
        raise ValueError(f"directions must be at least 1, got {directions}")
    scorer = Scorer.from_detector(replace(detector, balance=None, calibration=None), device=device)
    tiled = _Tiled(train, tiling, takes_features(detector.model))
    spaces, grids = _spaces(scorer, tiled, directions)
    grid = _common_grid(grids, by_place, directions)
    direction, code = _places(scorer, tiled, spaces, 1 if grid is None else grid[0] * grid[1])
    unscaled = TileBalance(direction, code, dict.fromkeys(TERMS, 0.0), dict.fromkeys(TERMS, 1.0), grid)
    center, scale = _scales(TileScorer(scorer, tiling, unscaled), held_out)
    balance = replace(unscaled, center=center, scale=scale)
    like = next(iter(detector.references.values())).cpu()
    facts = {**tiling.facts, "pooling": str(pooling or Pooling("largest", 3)), "balance": balance.facts}
    return replace(
        detector,
        balance=None,
        calibration=None,
        preprocessing={**detector.preprocessing, "tiles": facts},
        extra={**detector.extra, **balance.to(like).tensors},
    )


class _Tiled:
    """Images as their tiles, as often as they are asked for."""

    def __init__(self, images: Iterable[Tensor], tiling: Tiling, features: bool) -> None:
        if isinstance(images, Iterator):
            raise TypeError("expected training images that can be looked at twice, such as a list, got an iterator")
        self._images, self._tiling, self._features = images, tiling, features

    def __iter__(self) -> Iterator[TiledImage]:
        for index, image in enumerate(self._images):
            yield self._tiling.cut(image, features=self._features, index=index)


def _common_grid(grids: set[_Grid], by_place: bool | None, directions: int) -> _Grid | None:
    """The grid whose places are told apart, if they are."""
    if by_place and len(grids) > 1:
        raise ValueError(f"to compare tiles by their place, images must have one grid of tiles; got {len(grids)} grids")
    grid = next(iter(grids))
    fits = 2 * grid[0] * grid[1] * directions**2 <= _MOST_NUMBERS
    return grid if by_place or (by_place is None and len(grids) == 1 and fits) else None


def _codes(scorer: Scorer, tiles: TiledImage) -> Tensor:
    """Codes (n, D) of an image's tiles, and of them at length 1: (2, n, D) in float64."""
    codes = torch.cat([code for code, _ in scorer.codes_and_scores(tiles, BATCH)]).double()
    return torch.stack([at_length_1(codes), codes])


def _spaces(scorer: Scorer, tiled: _Tiled, directions: int) -> tuple[list[_Space], set[_Grid]]:
    """What whitens directions and codes, and the grids of the images."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    grids = set()
    for tiles in tiled:
        grids.add(tiles.grid)
        codes = _codes(scorer, tiles)
        count += codes.shape[1]
        total = total.to(codes) + codes.sum(1)
        squares = squares.to(codes) + codes.mT @ codes
    if not grids:
        raise ValueError("there are no training images")
    means = total / count
    covariances = squares / count - means[:, :, None] * means[:, None, :]
    spaces = [(mean, _basis(covariance, directions)) for mean, covariance in zip(means, covariances, strict=True)]
    return spaces, grids


def _basis(covariance: Tensor, directions: int) -> Tensor:
    variances, axes = torch.linalg.eigh(covariance)
    variances, axes = variances.flip(0)[:directions], axes.flip(1)[:, :directions]
    kept = variances > _SMALLEST_SHARE * variances[0]
    if not bool(kept.any()):
        raise ValueError("the codes of all training tiles are alike: there is nothing to compare others with")
    basis: Tensor = axes[:, kept] / variances[kept].sqrt()
    return basis


def _places(scorer: Scorer, tiled: _Tiled, spaces: Sequence[_Space], count: int) -> list[Places]:
    sums = [_Sums(count, basis) for _, basis in spaces]
    for tiles in tiled:
        for codes, space, moments in zip(_codes(scorer, tiles), spaces, sums, strict=True):
            white = whitened(codes, *space)
            moments.add(white[None] if count == 1 else white[:, None])
    return [Places(*space, *moments.centers_and_factors()) for space, moments in zip(spaces, sums, strict=True)]


class _Sums:
    """First and second moments of whitened codes at each place."""

    def __init__(self, places: int, like: Tensor) -> None:
        kept = like.shape[1]
        self._count = 0
        self._first = like.new_zeros(places, kept)
        self._second = like.new_zeros(places, kept, kept)

    def add(self, codes: Tensor) -> None:
        """Add as many codes, (P, n, K), at every place."""
        self._count += codes.shape[1]
        self._first += codes.sum(1)
        self._second.baddbmm_(codes.mT, codes)

    def centers_and_factors(self) -> tuple[Tensor, Tensor]:
        centers = self._first / self._count
        covariances = self._second / self._count - centers[:, :, None] * centers[:, None, :]
        unit = torch.eye(centers.shape[1], dtype=centers.dtype, device=centers.device)
        mixed = (self._count * covariances + SHRINKAGE * unit) / (self._count + SHRINKAGE)
        lower = torch.linalg.cholesky(mixed)
        return centers, torch.linalg.solve_triangular(lower, unit.expand_as(lower), upper=False)


def _scales(scorer: TileScorer, held_out: Iterable[Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of each part over all tiles of held-out images."""
    scored = [scorer.score(image, index).parts for index, image in enumerate(held_out)]
    if not scored:
        raise ValueError("expected held-out images to tell the scale of scores by, got none")
    center, scale = {}, {}
    for name in TERMS:
        column = torch.cat([parts[name].flatten() for parts in scored]).double()
        if not bool(column.isfinite().all()):
            raise ValueError(f"the {name} part of the score of a held-out tile is not finite")
        center[name], scale[name] = float(column.mean()), float(column.std(correction=0)) or 1.0
    return center, scale
