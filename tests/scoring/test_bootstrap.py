"""Metrics of many resamples at once, against scikit-learn's of each."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from gradcon_ext.scoring import bootstrap
from gradcon_ext.scoring.bootstrap import Ranking, interval, resamples

GENERATOR = np.random.default_rng(0)
IS_OUTLIER = GENERATOR.random(80) < 0.3
DISTINCT = (GENERATOR.normal(size=80) + IS_OUTLIER).astype(np.float32)


@pytest.mark.parametrize("scores", [DISTINCT, np.round(DISTINCT), np.zeros(80, np.float32)], ids=["", "tied", "alike"])
def test_metrics_are_those_of_scikit_learn(scores):
    (counts,) = resamples(IS_OUTLIER, 30, seed=1)
    given = Ranking.of(scores, IS_OUTLIER).metrics(counts)
    for row, count in enumerate(counts):
        drawn = np.repeat(np.arange(80), count)
        truth, values = IS_OUTLIER[drawn], scores[drawn]
        false_alarms, detected, _ = roc_curve(truth, values, drop_intermediate=False)
        assert given["auroc"][row] == pytest.approx(roc_auc_score(truth, values))
        assert given["average_precision"][row] == pytest.approx(average_precision_score(truth, values))
        assert given["false_alarms_at_95"][row] == pytest.approx(false_alarms[np.argmax(detected >= 0.95 - 1e-9)])


@pytest.mark.parametrize("outliers", [20, 60, 140, 7])
def test_95_percent_of_the_outliers_are_a_whole_number_of_them(outliers):
    is_outlier = np.arange(2 * outliers) % 2 == 1
    scores = -np.arange(2.0 * outliers)  # an inlier, an outlier, and so on from the highest down
    given = Ranking.of(scores, is_outlier).metrics(np.ones((1, 2 * outliers), np.int64))
    assert given["false_alarms_at_95"][0] == pytest.approx(-(-95 * outliers // 100) / outliers)


def test_resamples_keep_the_number_of_each_kind(monkeypatch):
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 1000)
    chunks = list(resamples(IS_OUTLIER, 50))
    counts = np.concatenate(chunks)
    assert len(chunks) > 1 and counts.shape == (50, 80)
    assert (counts[:, IS_OUTLIER].sum(1) == IS_OUTLIER.sum()).all()
    assert (counts[:, ~IS_OUTLIER].sum(1) == (~IS_OUTLIER).sum()).all()
    assert counts.max() > 2 and np.unique(counts, axis=0).shape[0] == 50
    assert np.array_equal(counts, np.concatenate(list(resamples(IS_OUTLIER, 50))))


def test_an_image_is_drawn_as_often_as_any_other():
    counts = np.concatenate(list(resamples(IS_OUTLIER, 4000)))
    assert counts.mean(0) == pytest.approx(np.ones(80), abs=0.1)


def test_an_interval_holds_the_middle():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
