"""The detector behind the protocol of `nonconform`, which needs Python 3.12."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest

from gradcon_ext import OneClassDetector, Scorer
from gradcon_ext.data import read_digits
from support.libraries import library

SMALL = {"image_shape": (1, 8, 8), "epochs": 6, "lead_in": 4, "batch_size": 16, "width": 8}


@pytest.fixture(scope="module")
def digits():
    """Rows of the digit 2 to learn from, and rows to score with what they are."""
    data = read_digits()
    train = data.train.images[data.train.labels == 2].reshape(-1, 64)
    return train, data.test.images.reshape(-1, 64), data.test.labels != 2


@pytest.fixture(scope="module")
def fitted(digits):
    return OneClassDetector(**SMALL, random_state=3).fit(digits[0])


def test_scores_are_those_of_the_trained_detector(fitted, digits):
    rows, is_outlier = digits[1:]
    scores = fitted.decision_function(rows)
    expected = Scorer.from_detector(fitted.detector_).score(rows.reshape(-1, 1, 8, 8))
    np.testing.assert_array_equal(scores, expected.balanced.numpy())
    assert np.mean(scores[is_outlier][:, None] > scores[~is_outlier]) > 0.8  # higher is more anomalous
    assert (fitted.detector_.training["epochs"], fitted.detector_.training["lead_in"]) == (6, 4)


def test_copies_and_a_trained_detector_score_alike(fitted, digits):
    rows = digits[1][:20]
    expected = fitted.decision_function(rows)
    np.testing.assert_array_equal(copy.deepcopy(fitted).decision_function(rows), expected)
    given = OneClassDetector(**SMALL, detector=fitted.detector_)
    np.testing.assert_array_equal(given.decision_function(rows), expected)
    by_gradient = copy.copy(given).set_params(part="gradient")
    assert not np.array_equal(by_gradient.decision_function(rows), given.decision_function(rows))


def test_parameters_that_are_set_later_are_those_of_the_next_fit(fitted, digits):
    train, rows, _ = digits
    changed = copy.deepcopy(fitted).set_params(part="reconstruction", image_shape=(1, 16, 4))
    np.testing.assert_array_equal(changed.decision_function(rows), fitted.decision_function(rows))
    scores = changed.set_params(image_shape=(1, 8, 8)).fit(train).decision_function(rows)
    expected = Scorer.from_detector(changed.detector_).score(rows.reshape(-1, 1, 8, 8)).reconstruction
    np.testing.assert_array_equal(scores, expected.numpy())


def test_the_seed_decides(fitted, digits):
    again, other = (OneClassDetector(**SMALL, random_state=seed).fit(digits[0]) for seed in (3, 4))
    rows = digits[1][:20]
    np.testing.assert_array_equal(again.decision_function(rows), fitted.decision_function(rows))
    assert not np.array_equal(other.decision_function(rows), fitted.decision_function(rows))


def test_parameters_are_those_of_the_constructor():
    detector = OneClassDetector(**SMALL)
    assert detector.set_params(epochs=3) is detector
    assert OneClassDetector(**detector.get_params()) == detector
    assert detector.get_params(deep=False)["epochs"] == 3
    with pytest.raises(ValueError, match="no parameter 'depth'; expected one of image_shape, part"):
        detector.set_params(depth=3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((4, 63)), r"shape \(4, 63\); expected \(N, 64\)"),
        (np.zeros((4, 1, 8, 8)), r"shape \(4, 1, 8, 8\)"),
        (np.full((4, 64), 7.0), "expected 0 to 1"),
        (np.zeros((1, 64), np.uint8), "expected at least 2"),
    ],
)
def test_rows_that_cannot_be_learned_from(rows, message):
    with pytest.raises(ValueError, match=message):
        OneClassDetector(**SMALL).fit(rows)


def test_nothing_was_fitted(digits):
    with pytest.raises(ValueError, match="call fit"):
        OneClassDetector(**SMALL).decision_function(digits[1])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nonconform needs Python 3.12 or newer")
def test_nonconform_takes_it(digits):
    nonconform = library("nonconform")
    from nonconform.structures import AnomalyDetector

    train, rows, is_outlier = digits
    detector = OneClassDetector(**SMALL)
    assert isinstance(detector, AnomalyDetector)
    conformal = nonconform.ConformalDetector(detector=detector, strategy=nonconform.Split(n_calib=0.3), seed=1)
    p_values = conformal.fit(train).compute_p_values(rows)
    scores, own = conformal.last_result.test_scores, conformal.last_result.calib_scores
    # Higher is more anomalous to both, and an outlier has a small p-value.
    assert p_values == pytest.approx((1 + (own[None] >= scores[:, None]).sum(1)) / (len(own) + 1))
    assert np.mean(p_values[is_outlier][:, None] < p_values[~is_outlier]) > 0.8
