"""How scores are distributed, as bars of a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from gradcon_ext.report.content import ImageRow

_MOST_BARS = 60


@dataclass(frozen=True)
class Bar:
    """A bar from `left`, `width` wide, of two parts on each other; all in percent of the drawing."""

    left: float
    width: float
    others: float
    outliers: float


@dataclass(frozen=True)
class Histogram:
    """Bars of all scores from `low` to `high`, and where the threshold is, in percent of the way."""

    low: float
    high: float
    bars: list[Bar]
    tallest: int
    threshold: float | None


def histogram_of(rows: Sequence[ImageRow], threshold: float | None) -> Histogram | None:
    """Count the scores of rows in bins of one width; None where no row has a score."""
    scored = [row for row in rows if row.anomaly is not None]
    if not scored:
        return None
    values = np.array([row.anomaly for row in scored], dtype=np.float64)
    marks = values if threshold is None else np.append(values, threshold)
    edges = np.histogram_bin_edges(marks, bins=min(_MOST_BARS, 2 * isqrt(len(values)) + 1))
    outliers = np.array([row.verdict == "outlier" for row in scored])
    counts = [np.histogram(values[part], edges)[0] for part in (~outliers, outliers)]
    tallest = int((counts[0] + counts[1]).max())
    place = (edges - edges[0]) / (edges[-1] - edges[0]) * 100
    bars = [
        Bar(float(left), float(right - left), float(others / tallest * 100), float(above / tallest * 100))
        for left, right, others, above in zip(place, place[1:], *counts, strict=False)
    ]
    at = None if threshold is None else float((threshold - edges[0]) / (edges[-1] - edges[0]) * 100)
    return Histogram(float(marks.min()), float(marks.max()), bars, tallest, at)
