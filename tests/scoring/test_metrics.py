"""Metrics of losses and of verdicts, with their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gradcon_ext.scoring.metrics import measure, measure_folders, share_tied

IS_OUTLIER = np.array([False, True, False, True])
LOSSES = {"good": np.array([0.1, 0.8, 0.2, 0.9], np.float32), "poor": np.array([0.8, 0.7, 0.2, 0.9], np.float32)}


def test_metrics_of_every_loss():
    given = measure(LOSSES, IS_OUTLIER, {"poor": 0.75})
    good, poor = given["good"], given["poor"]
    assert (good.auroc, good.average_precision) == ((1, 1, 1), (1, 1, 1))
    assert good.false_alarms_at_95 == (0, 0, 0)
    assert (poor.auroc.value, poor.false_alarms_at_95.value) == (0.75, 0.5)
    assert poor.average_precision.value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert good.f1 is good.detected is None
    assert [poor.detected.value, poor.missed.value, poor.false_alarms.value, poor.passed.value] == [1, 1, 1, 1]
    assert poor.f1.value == 0.5
    assert (poor.detected.low, poor.detected.high) == (0, 2)
    json.dumps(poor.as_json(), allow_nan=False)
    assert "f1" not in good.as_json()
    assert poor.as_json()["detected"] == {"value": 1, "low": 0, "high": 2}


def test_what_is_at_the_threshold_is_no_outlier():
    assert measure(LOSSES, IS_OUTLIER, {"good": np.float32(0.8)})["good"].detected.value == 1
    nothing = measure(LOSSES, IS_OUTLIER, {"good": float("inf")})["good"]
    assert (nothing.detected.value, nothing.false_alarms.value, nothing.f1) == (0, 0, (0, 0, 0))


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Of samples from two normal distributions, whose area is known: 95 % and a few less, for bootstraps are narrow."""
    generator, held = np.random.default_rng(0), 0
    is_outlier = np.arange(200) < 80
    for trial in range(200):
        scores = generator.normal(size=200) + is_outlier
        estimate = measure({"loss": scores}, is_outlier, number=200, seed=trial)["loss"].auroc
        held += estimate.low <= 0.7602 <= estimate.high  # of normal distributions one deviation apart
    assert 0.89 <= held / 200 <= 0.99


def test_the_outliers_of_a_folder_are_measured_against_all_inliers():
    folders = [None, "crack", None, "hole"]
    given = measure_folders(LOSSES, IS_OUTLIER, folders)
    assert list(given) == ["crack", "hole"]
    assert given["crack"]["poor"].auroc.value == 0.5
    assert given["hole"]["poor"].auroc.value == 1
    assert measure_folders(LOSSES, IS_OUTLIER, [None] * 4) == {}


def test_ties_are_of_pairs():
    assert share_tied(np.array([1, 1, 2, 2]), IS_OUTLIER) == 0.5
    assert share_tied(np.zeros(4), IS_OUTLIER) == 1
    assert share_tied(LOSSES["poor"], IS_OUTLIER) == 0
