"""The estimator on images and features, and within what scikit-learn does with estimators."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from gradcon_ext import Scorer
from gradcon_ext.sklearn import GradConDetector

SMALL = {"epochs": 6, "batch_size": 16, "width": 8, "random_state": 3}


@pytest.fixture(scope="module")
def digits():
    """Rows of the digit 2 from 0 to 16, rows of all digits, and which of them are outliers."""
    rows, labels = load_digits(return_X_y=True)
    return rows[:1000][labels[:1000] == 2], rows[1000:], labels[1000:] != 2


@pytest.fixture(scope="module")
def fitted(digits):
    return GradConDetector(image_shape=(8, 8), **SMALL).fit(digits[0])


def test_outliers_score_lower(fitted, digits):
    _, rows, is_outlier = digits
    assert roc_auc_score(~is_outlier, fitted.decision_function(rows)) > 0.85
    assert (fitted.image_shape_, fitted.n_features_in_) == ((1, 8, 8), 64)


def test_scores_are_those_of_the_trained_detector(fitted, digits):
    rows = digits[1]
    images = torch.from_numpy(rows / 16).float().reshape(-1, 1, 8, 8)
    expected = Scorer.from_detector(fitted.detector_).score(images).balanced
    np.testing.assert_allclose(fitted.score_samples(rows), -expected.numpy(), rtol=1e-5, atol=1e-5)
    decided = fitted.score_samples(rows) - fitted.offset_
    np.testing.assert_array_equal(fitted.decision_function(rows), decided)
    np.testing.assert_array_equal(fitted.predict(rows), np.where(decided < 0, -1, 1))


@pytest.mark.parametrize("shape", [(-1, 1, 8, 8), (-1, 8, 8)])
def test_arrays_of_images_are_their_rows(fitted, digits, shape):
    train, rows, _ = digits
    same = GradConDetector(**SMALL).fit(train.reshape(shape))
    assert (same.image_shape_, same.n_features_in_) == ((1, 8, 8), 64)
    expected = fitted.score_samples(rows)
    for each in (rows, rows.reshape(shape), torch.from_numpy(rows.reshape(shape))):
        np.testing.assert_array_equal(same.score_samples(each), expected)


def test_units_are_those_of_training_whatever_the_dtype(digits):
    """Bytes stand for 0 to 255, also where only some of these occur, and later in another dtype."""
    train, rows, _ = ((each * 10).astype(np.uint8) for each in digits)
    detector = GradConDetector(image_shape=(1, 8, 8), **SMALL).fit(train)
    unit = GradConDetector(image_shape=(1, 8, 8), **SMALL).fit(train / 255)
    expected = detector.score_samples(rows)
    for same in (detector.score_samples(rows.astype(float)), unit.score_samples(rows / 255)):
        np.testing.assert_allclose(same, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_parameters_of_numpy_are_searched(digits, image_shape):
    train = digits[0][:24]
    of_features = {"latent": np.array([3])} if image_shape is None else {}
    grid = {
        **{"epochs": np.arange(2, 3), "lead_in": np.arange(1, 2), "batch_size": np.array([8]), "width": np.array([4])},
        **of_features,
        "alpha": np.float32([0.03]),
    }
    search = GridSearchCV(GradConDetector(image_shape, random_state=0), grid, scoring=lambda *_: 0.0, cv=2)
    plain = GradConDetector(image_shape, random_state=0, **{name: values[0].item() for name, values in grid.items()})
    found, expected = search.fit(train).best_estimator_, plain.fit(train)
    np.testing.assert_array_equal(found.score_samples(train), expected.score_samples(train))
    first, second = ({**each.detector_.training, "seconds": 0} for each in (found, expected))
    assert repr(first) == repr(second)


@pytest.mark.parametrize("name", ["epochs", "lead_in", "batch_size", "width", "latent"])
def test_truth_values_are_no_numbers(digits, name):
    with pytest.raises(ValueError, match=f"{name} must be .*True"):
        GradConDetector(**{**SMALL, name: True}).fit(digits[0])


def test_values_beyond_those_of_training_are_scored_and_not_clipped(fitted, digits):
    row = digits[0][:1]
    bright, brighter = fitted.score_samples(np.concatenate([row + 16, row + 32]))
    assert fitted.score_samples(row) > bright > brighter


def test_the_scale_of_features_is_no_matter(digits):
    varies = digits[0].std(0) > 0  # A constant feature keeps its unit.
    train, rows, is_outlier = digits[0][:, varies], digits[1][:, varies], digits[2]
    features = GradConDetector(**SMALL).set_params(epochs=30).fit(train)
    scaled = GradConDetector(**SMALL).set_params(epochs=30).fit(train * 1024)
    assert features.image_shape_ is None
    assert roc_auc_score(~is_outlier, features.decision_function(rows)) > 0.8
    np.testing.assert_array_equal(scaled.score_samples(rows * 1024), features.score_samples(rows))


@pytest.mark.parametrize("contamination", [0.05, 0.3])
def test_contamination_is_the_share_of_training_rows_beyond_the_offset(digits, contamination):
    train = digits[0]
    detector = GradConDetector((8, 8), contamination=contamination, **SMALL)
    labels = detector.fit_predict(train)
    assert (labels == -1).mean() == pytest.approx(contamination, abs=1 / len(train))
    np.testing.assert_array_equal(labels, detector.predict(train))


def test_the_fence_of_auto_is_tukeys(fitted, digits):
    """Of the rows held out, which the split of the same seed finds again."""
    train = digits[0]
    scores = fitted.score_samples(train)
    assert scores.min() <= fitted.offset_ < np.percentile(scores, 25)


def test_the_seed_decides(fitted, digits):
    train, rows, _ = digits
    same, other = (clone(fitted).set_params(random_state=seed).fit(train) for seed in (3, 4))
    np.testing.assert_array_equal(same.score_samples(rows), fitted.score_samples(rows))
    assert not np.array_equal(other.score_samples(rows), fitted.score_samples(rows))
    assert not hasattr(clone(fitted), "detector_")


def test_global_random_numbers_are_left_alone(digits):
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    GradConDetector((8, 8), **SMALL).fit(digits[0])
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpys, np.random.get_state()[1])


def test_parameters_that_are_set_later_are_those_of_the_next_fit(fitted, digits):
    rows = digits[1]
    changed = pickle.loads(pickle.dumps(fitted))
    changed.set_params(part="reconstruction", image_shape=(16, 4), contamination=0.3, width=3, latent=2)
    for method in ("score_samples", "decision_function", "predict"):
        np.testing.assert_array_equal(getattr(changed, method)(rows), getattr(fitted, method)(rows))
    anew = GradConDetector((8, 8), **SMALL, part="reconstruction").fit(digits[0])
    changed.set_params(**anew.get_params()).fit(digits[0])
    np.testing.assert_array_equal(changed.decision_function(rows), anew.decision_function(rows))


@pytest.mark.parametrize("part", ["combined", "gradient", "reconstruction", "code"])
def test_parts(fitted, digits, part):
    rows = digits[1][:50]
    detector = GradConDetector((8, 8), **SMALL, part=part).fit(digits[0])
    assert not np.array_equal(detector.score_samples(rows), fitted.score_samples(rows))


def test_a_pipeline_with_other_steps(digits):
    train, rows, is_outlier = digits
    pipeline = make_pipeline(RobustScaler(), PCA(12), GradConDetector(**SMALL).set_params(epochs=30)).fit(train)
    assert roc_auc_score(~is_outlier, pipeline.decision_function(rows)) > 0.75
    assert set(pipeline.predict(rows)) == {-1, 1}


@pytest.fixture
def end_of_workers():
    """Ends joblib's workers, which otherwise wait for more."""
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.usefixtures("end_of_workers")
def test_a_grid_search_in_processes(digits):
    """Copies go to joblib's workers, and fitted ones come back."""
    rows, inlier = digits[1][:300], np.where(digits[2][:300], -1, 1)
    search = GridSearchCV(
        GradConDetector((8, 8), **SMALL), {"part": ["balanced", "reconstruction"]}, scoring="roc_auc", cv=2, n_jobs=2
    )
    search.fit(rows, inlier)
    alone = cross_val_score(search.best_estimator_, rows, inlier, scoring="roc_auc", cv=2)
    assert search.best_score_ == pytest.approx(alone.mean())


@pytest.mark.parametrize("image_shape", [(8, 8), None])
@pytest.mark.parametrize("part", ["balanced", "combined"])
def test_pickles(digits, tmp_path, image_shape, part):
    train, rows, _ = digits
    detector = GradConDetector(image_shape, **SMALL, part=part).fit(train)
    detector.set_params(width=3)  # for the next fit; the trained model is as it was
    expected = detector.decision_function(rows)
    content = pickle.dumps(detector)
    np.testing.assert_array_equal(pickle.loads(content).decision_function(rows), expected)
    joblib.dump(detector, tmp_path / "detector.joblib")
    mapped = joblib.load(tmp_path / "detector.joblib", mmap_mode="r")
    np.testing.assert_array_equal(mapped.decision_function(rows), expected)
    again = pickle.loads(pickle.dumps(pickle.loads(content)))
    np.testing.assert_array_equal(again.decision_function(rows), expected)


def test_a_pickle_is_read_by_a_process_that_has_imported_nothing(fitted, digits):
    row = digits[1][:1]
    read = f"import pickle, sys; print(pickle.load(sys.stdin.buffer).decision_function({row.tolist()})[0])"
    command = [sys.executable, "-c", read]
    # Elsewhere than in the source, which comes before the installed package.
    printed = subprocess.run(command, cwd=sys.prefix, input=pickle.dumps(fitted), capture_output=True, check=True)
    assert float(printed.stdout) == pytest.approx(fitted.decision_function(row)[0], rel=1e-5)


def test_a_pickle_names_no_class_of_torch(fitted):
    named, texts = set(), []
    for opcode, argument, _ in pickletools.genops(pickle.dumps(fitted)):
        if isinstance(argument, str):
            texts.append(argument)
        if opcode.name == "STACK_GLOBAL":
            named |= {text.split(".")[0] for text in texts[-2:] if text.isidentifier() or "." in text}
    modules = named & set(sys.modules)
    assert modules <= {"gradcon_ext", "numpy"}
    assert "gradcon_ext" in modules


@pytest.mark.parametrize(
    ("parameters", "rows", "message"),
    [
        ({"image_shape": (1, 8, 8)}, np.zeros((9, 63)), r"63 features; images of image_shape \(1, 8, 8\) have 64"),
        ({"image_shape": (1, 4, 4)}, np.zeros((9, 1, 8, 8)), r"\(1, 8, 8\); image_shape is \(1, 4, 4\)"),
        ({"image_shape": (0, 8)}, np.zeros((9, 64)), "positive integers"),
        ({"image_shape": (64,)}, np.zeros((9, 64)), r"\(C, H, W\) or \(H, W\)"),
        ({"part": "best"}, np.zeros((9, 64)), "no part 'best'"),
        ({"contamination": 0.6}, np.zeros((9, 64)), "at most 0.5, got 0.6"),
        ({"contamination": "none"}, np.zeros((9, 64)), "contamination must be 'auto'"),
        ({"validation_fraction": 1}, np.zeros((9, 64)), "validation_fraction must be"),
        ({"width": 0}, np.eye(9), "width must be a positive integer, got 0"),
        ({"latent": 1.5}, np.eye(9), "latent must be a positive integer, got 1.5"),
        ({"epochs": 0}, np.eye(9), "epochs must be an integer of at least 1, got 0"),
        ({"learning_rate": 0}, np.eye(9), "lr must be finite and positive"),
        ({}, np.zeros((3, 64)), "3 sample"),
        ({}, np.ones((9, 64)), "all 9 rows are alike: "),
        ({"image_shape": (8, 8)}, np.full((9, 64), 5), "all 9 rows are alike: "),
        ({}, np.full((9, 4), np.nan), "contains NaN"),
    ],
)
def test_what_cannot_be_fitted(parameters, rows, message):
    with pytest.raises(ValueError, match=message):
        GradConDetector(**parameters).fit(rows)


def test_what_cannot_be_scored(fitted, digits):
    with pytest.raises(NotFittedError):
        GradConDetector().predict(digits[1])
    with pytest.raises(ValueError, match="63 features"):
        fitted.predict(digits[1][:, 1:])
    with pytest.raises(ValueError, match="image_shape is"):
        fitted.predict(np.zeros((2, 1, 4, 16)))
    features = GradConDetector(**SMALL).fit(digits[0])
    with pytest.raises(ValueError, match=r"shape \(2, 1, 8, 8\); expected rows of 64 features"):
        features.predict(np.zeros((2, 1, 8, 8)))
