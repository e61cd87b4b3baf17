"""The detector by PyOD's convention, held against PyOD's own tests of a detector where their source is at hand."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import unittest
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from support.libraries import library

library("pyod")

from pyod.utils.data import generate_data
from pyod.utils.persistence import load, save

from gradcon_ext.pyod import GradCon
from gradcon_ext.sklearn import GradConDetector

SMALL = {"epochs": 30, "width": 16, "random_state": 42}

TESTS = [
    "fit_predict",
    "fit_predict_score",
    "model_clone",
    "parameters",
    "predict_rank",
    "predict_rank_normalized",
    "prediction_labels",
    "prediction_labels_confidence",
    "prediction_proba",
    "prediction_proba_linear",
    "prediction_proba_linear_confidence",
    "prediction_proba_parameter",
    "prediction_proba_unify",
    "prediction_scores",
    "prediction_with_rejection",
    "prediction_with_rejection_stats",
    "train_scores",
]
"""PyOD's tests of the detector KDE, all of which apply: they look at nothing but the convention."""


@pytest.fixture(scope="module")
def rows():
    """Training rows, a tenth of which are outliers, and rows to score with what they are."""
    train, test, _, is_outlier = generate_data(200, 100, n_features=4, contamination=0.1, random_state=42)
    return train, test, is_outlier


@pytest.fixture(scope="module")
def fitted(rows):
    return GradCon(contamination=0.1, **SMALL).fit(rows[0])


def test_scores_are_the_negative_of_scikit_learns(fitted, rows):
    train, test, is_outlier = rows
    expected = GradConDetector(**SMALL).fit(train)
    np.testing.assert_array_equal(fitted.decision_function(test), -expected.score_samples(test))
    np.testing.assert_array_equal(fitted.decision_scores_, -expected.score_samples(train))
    assert roc_auc_score(is_outlier, fitted.decision_function(test)) > 0.9


def test_the_threshold_labels_the_share_of_contamination(fitted, rows):
    train, test, _ = rows
    assert set(fitted.labels_) == {0, 1}
    assert fitted.labels_.sum() == 20
    np.testing.assert_array_equal(fitted.labels_, fitted.decision_scores_ > fitted.threshold_)
    np.testing.assert_array_equal(fitted.predict(train), fitted.labels_)
    np.testing.assert_array_equal(fitted.predict(test), fitted.decision_function(test) > fitted.threshold_)


def test_parameters_that_are_set_later_are_those_of_the_next_fit(fitted, rows):
    changed = pickle.loads(pickle.dumps(fitted)).set_params(part="reconstruction", contamination=0.3, width=3)
    np.testing.assert_array_equal(changed.predict(rows[1]), fitted.predict(rows[1]))
    np.testing.assert_array_equal(changed.decision_function(rows[1]), fitted.decision_function(rows[1]))


def test_images(rows):
    images = np.random.default_rng(0).random((40, 1, 8, 8))
    detector = GradCon(epochs=2, width=4, random_state=0).fit(images)
    flat = GradCon(image_shape=(8, 8), epochs=2, width=4, random_state=0).fit(images.reshape(40, 64))
    np.testing.assert_array_equal(detector.decision_scores_, flat.decision_scores_)


def test_copies(fitted, rows, tmp_path):
    test = rows[1]
    expected = fitted.decision_function(test)
    save(fitted, tmp_path / "detector.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), load(tmp_path / "detector.joblib", trusted=True)):
        np.testing.assert_array_equal(copy.decision_function(test), expected)
        assert copy.threshold_ == fitted.threshold_
    again = clone(fitted)
    assert not hasattr(again, "detector_")
    np.testing.assert_array_equal(again.fit(rows[0]).decision_function(test), expected)


def test_parameters_are_those_of_the_estimator_but_for_the_contamination():
    ours, theirs = (signature(kind).parameters for kind in (GradCon, GradConDetector))
    assert ours.keys() == theirs.keys()
    defaults = {name: (ours[name].default, theirs[name].default) for name in ours if name != "contamination"}
    assert all(own == of_estimator for own, of_estimator in defaults.values())


@pytest.mark.parametrize("contamination", [0, 0.6])
def test_contaminations_that_are_none(contamination):
    with pytest.raises(ValueError, match="contamination must be in"):
        GradCon(contamination=contamination)


@pytest.fixture
def of_pyod(monkeypatch):
    """PyOD's test case of another detector, given ours; it is in no wheel of PyOD."""
    folder = os.environ.get("PYOD_TESTS")
    if folder is None:
        pytest.skip("PYOD_TESTS names no folder pyod/test of PyOD's source")
    monkeypatch.setattr(sys, "path", list(sys.path))  # which the file changes
    spec = importlib.util.spec_from_file_location("test_kde", Path(folder) / "test_kde.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "KDE", partial(GradCon, epochs=30))
    return module.TestKDE


@pytest.mark.filterwarnings("ignore:Function fit_predict:FutureWarning", "ignore:The cost of rejection:UserWarning")
@pytest.mark.parametrize("name", TESTS)
def test_pyods_own_tests(of_pyod, name):
    result = unittest.TestResult()
    of_pyod(f"test_{name}").run(result)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_all_of_pyods_own_tests_are_run(of_pyod):
    assert unittest.defaultTestLoader.getTestCaseNames(of_pyod) == [f"test_{name}" for name in TESTS]
