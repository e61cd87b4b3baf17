"""Metrics of many resamples of the same scores at once, for their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

RESAMPLES = 1000
COVERAGE = 0.95
DETECTION = 0.95

_NUMBERS_AT_ONCE = 1 << 18


def resamples(is_outlier: npt.NDArray[np.bool_], number: int = RESAMPLES, seed: int = 0) -> Iterator[Counts]:
    """Yield how often each image (N,) is in each of some resamples, (n, N), until there are `number` of them.

    They are stratified: as many inliers and as many outliers as there are, each drawn with replacement.
    """
    generator = np.random.default_rng(seed)
    groups = [np.flatnonzero(is_outlier == kind) for kind in (False, True)]
    at_once = max(1, _NUMBERS_AT_ONCE // len(is_outlier))
    for start in range(0, number, at_once):
        counts = np.zeros((min(at_once, number - start), len(is_outlier)), dtype=np.int64)
        for group in groups:
            drawn = generator.integers(0, len(group), (len(counts), len(group)))
            # Each row counts in a range of its own.
            shifted = drawn + np.arange(len(counts))[:, None] * len(group)
            counts[:, group] = np.bincount(shifted.ravel(), minlength=shifted.size).reshape(shifted.shape)
        yield counts


@dataclass(frozen=True)
class Ranking:
    """Scores in descending order; made once, and then measured under any counts.

    Attributes:
        order: indices of the images, (N,).
        ends: positions in that order where a run of equal scores ends, (G,).
        is_outlier: of the images in that order, (N,).
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    is_outlier: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, scores: npt.NDArray[Any], is_outlier: npt.NDArray[np.bool_]) -> Ranking:
        """Rank scores (N,)."""
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        return cls(order, ends, is_outlier[order])

    def metrics(self, counts: Counts) -> dict[str, Values]:
        """Return each metric of resamples with these counts (n, N), (n,); as scikit-learn defines them."""
        ordered = counts[:, self.order]
        detected = np.cumsum(ordered * self.is_outlier, axis=1)[:, self.ends]
        alarms = np.cumsum(ordered, axis=1)[:, self.ends]
        false = alarms - detected
        outliers, inliers = detected[:, -1], false[:, -1]
        gained = np.diff(detected, axis=1, prepend=0)
        auroc = (gained * (inliers[:, None] - false + np.diff(false, axis=1, prepend=0) / 2)).sum(1)
        precision = detected / np.maximum(alarms, 1)
        enough = np.argmax(detected >= ceil(DETECTION * outliers[0] - 1e-9), axis=1)
        return {
            "auroc": auroc / (outliers * inliers),
            "average_precision": (gained * precision).sum(1) / outliers,
            "false_alarms_at_95": false[np.arange(len(false)), enough] / inliers,
        }


def interval(values: Values) -> tuple[float, float]:
    """The range that holds the middle 95 % of the values of resamples."""
    low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
