from __future__ import annotations

import pytest

from gradcon_ext.report.content import ImageRow
from gradcon_ext.report.histogram import histogram_of


def rows(*scores: float, threshold: float = float("inf")) -> list[ImageRow]:
    return [ImageRow("a", score, verdict="outlier" if score >= threshold else "inlier") for score in scores]


def test_bars_are_shares_of_the_tallest() -> None:
    histogram = histogram_of(rows(0, 0, 0, 1, 4, threshold=1), threshold=1)
    assert histogram is not None
    assert (histogram.low, histogram.high, histogram.tallest) == (0, 4, 3)
    assert sum(bar.width for bar in histogram.bars) == pytest.approx(100)
    assert sum(bar.others for bar in histogram.bars) == pytest.approx(100)
    assert sum(bar.outliers for bar in histogram.bars) == pytest.approx(200 / 3)
    assert histogram.threshold == pytest.approx(25)


@pytest.mark.parametrize("threshold", [-3.0, 9.0])
def test_a_threshold_beyond_all_scores_is_in_the_drawing(threshold: float) -> None:
    histogram = histogram_of(rows(0, 1, 2), threshold)
    assert histogram is not None and histogram.threshold in (0, 100)
    assert threshold in (histogram.low, histogram.high)


def test_equal_scores_and_none() -> None:
    histogram = histogram_of(rows(2, 2, 2), None)
    assert histogram is not None and histogram.tallest == 3 and histogram.threshold is None
    assert histogram_of([ImageRow("a", error="broken")], None) is None
