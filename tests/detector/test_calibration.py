"""p-values, thresholds and the false-alarm rate that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from gradcon_ext.detector.calibration import Calibration, calibration_of
from gradcon_ext.storage.header import Stored

TRIALS = 4000


def calibration(scores, rate=0.05):
    return Calibration(rate, {"combined": np.sort(np.asarray(scores, np.float32))})


def test_a_p_value_counts_what_scores_as_high():
    given = calibration([1, 2, 2, 3]).p_values("combined", np.array([0, 1, 2, 2.5, 3, 4], np.float32))
    assert given.tolist() == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]
    assert given.dtype == np.float64


def test_what_is_no_number_is_as_rare_as_can_be():
    assert calibration([1, 2, 3]).p_values("combined", np.array([np.nan, np.inf, -np.inf])).tolist() == [0.25, 0.25, 1]


SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=40)


@given(SCORES, SCORES, st.integers(1, 199))
def test_a_score_is_above_the_threshold_where_its_p_value_is_at_most_the_rate(known, others, thousandths):
    rate = thousandths / 200
    judged = calibration(known, rate)
    others = np.array(others, np.float32)
    assert ((others > judged.threshold("combined")) == (judged.p_values("combined", others) <= rate)).all()


@pytest.mark.parametrize("count", [1, 9, 19, 36, 99, 249])
def test_the_least_rate_is_the_first_at_which_anything_is_an_outlier(count):
    judged = calibration(range(count))
    assert judged.count == count
    assert judged.least_rate == 1 / (count + 1)
    assert judged.threshold("combined", judged.least_rate) == count - 1
    assert judged.threshold("combined", judged.least_rate * 0.999) == float("inf")


@pytest.mark.parametrize(("count", "rate"), [(99, 0.05), (99, 0.29), (36, 0.05), (500, 0.01), (10, 0.001)])
def test_the_false_alarm_rate_holds(count, rate):
    """As often as is stated, of normal images each judged by calibration images of its own, and no oftener."""
    generator = np.random.default_rng(0)
    exact = int(rate * (count + 1) + 1e-9) / (count + 1)  # ranks are whole numbers
    alarms = sum(
        calibration(scores[:-1], rate).p_values("combined", scores[-1:])[0] <= rate
        for scores in generator.gamma(2.0, size=(TRIALS, count + 1)).astype(np.float32)
    )
    assert exact <= rate
    assert (alarms == 0) if exact == 0 else binomtest(int(alarms), TRIALS, exact).pvalue > 1e-3


def test_the_false_alarm_rate_holds_where_scores_tie():
    generator = np.random.default_rng(1)
    scores = generator.poisson(2, size=(TRIALS, 60)).astype(np.float32)
    alarms = sum(calibration(row[:-1]).p_values("combined", row[-1:])[0] <= 0.05 for row in scores)
    assert alarms > 0 and binomtest(int(alarms), TRIALS, 0.05, "greater").pvalue > 1e-3


def test_another_rate():
    judged = calibration(range(9), 0.1)
    assert judged.at(None) is judged
    assert judged.at(0.4).threshold("combined") == judged.threshold("combined", 0.4) == 5


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2, float("nan")])
def test_a_rate_is_between_0_and_1(rate):
    with pytest.raises(ValueError, match=f"above 0 and below 1, got {rate}"):
        calibration([1]).at(rate)


def test_a_part_that_was_not_calibrated():
    with pytest.raises(ValueError, match="'code' was not calibrated; expected one of combined"):
        calibration([1]).threshold("code")


def stored(rows, dtype="float32"):
    array = np.array(rows, dtype)
    return Stored(dtype, array.shape, bytearray(array.tobytes()))


FACTS = {"rate": 0.05, "parts": ["combined", "gradient"]}
ROWS = [[1, 2, 3], [4, 5, 5]]


def test_a_file_holds_all_of_it():
    judged = calibration_of(FACTS, stored(ROWS))
    assert judged.facts() == FACTS
    assert {part: scores.tolist() for part, scores in judged.scores.items()} == {
        "combined": [1, 2, 3],
        "gradient": [4, 5, 5],
    }
    assert calibration_of(None, None) is None


@pytest.mark.parametrize(
    ("facts", "tensor", "message"),
    [
        ({}, stored(ROWS), "rate and parts"),
        ({**FACTS, "rate": 0.0}, stored(ROWS), "rate and parts"),
        ({**FACTS, "rate": 1}, stored(ROWS), "rate and parts"),
        ({**FACTS, "rate": float("nan")}, stored(ROWS), "rate and parts"),
        ({**FACTS, "rate": "0.1"}, stored(ROWS), "rate and parts"),
        ({**FACTS, "parts": []}, stored(ROWS), "rate and parts"),
        ({**FACTS, "parts": "combined"}, stored(ROWS), "rate and parts"),
        ({**FACTS, "parts": ["combined", ["gradient"]]}, stored(ROWS), "rate and parts"),
        ({**FACTS, "parts": ["combined", "combined"]}, stored(ROWS), "rate and parts"),
        ({**FACTS, "parts": ["combined", "brightness"]}, stored(ROWS), "rate and parts"),
        ({**FACTS, "more": 1}, stored(ROWS), "rate and parts"),
        (FACTS, None, "no tensor calibration.scores"),
        (FACTS, stored(ROWS[:1]), r"float32 \(2, n\), got float32 \(1, 3\)"),
        (FACTS, stored(ROWS[0]), r"got float32 \(3,\)"),
        (FACTS, stored([[], []]), r"got float32 \(2, 0\)"),
        (FACTS, stored(ROWS, "float64"), "got float64"),
        (FACTS, stored([[1, 2, np.nan], [1, 2, 3]]), "finite numbers in ascending order"),
        (FACTS, stored([[1, 2, np.inf], [1, 2, 3]]), "finite numbers in ascending order"),
        (FACTS, stored([[1, 3, 2], [1, 2, 3]]), "finite numbers in ascending order"),
    ],
)
def test_what_is_no_calibration_is_refused(facts, tensor, message):
    with pytest.raises(ValueError, match=message):
        calibration_of(facts, tensor)
