from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.data.folds import FoldSplit, Mixture
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce.measuring import (
    OUTLIER_PERCENT,
    area,
    auroc_of,
    best_threshold,
    f1_of_inliers,
    measure_on,
    over_shares,
)
from gradcon_ext.scoring.evaluation import evaluate
from gradcon_ext.scoring.scorer import Scorer, Scores


def scores_with(anomaly):
    """Scores of which the combined one alone says anything."""
    zeros = torch.zeros(len(anomaly))
    return Scores(zeros, zeros, zeros[:, None], torch.as_tensor(anomaly, dtype=torch.float32))


class FirstPixel:
    """Scores an image by its first pixel."""

    def score(self, images):
        return scores_with(images[:, 0, 0, 0])


def split_of(validation, test):
    """A split with 90 inliers and 90 outliers in either fold, whose scores are given in this order."""
    images = np.concatenate([validation, test]).astype(np.uint8).reshape(-1, 1, 1, 1).repeat(8, 2).repeat(8, 3)
    first, second = (Mixture(np.arange(start, start + 90), np.arange(start + 90, start + 180)) for start in (0, 180))
    return FoldSplit(images, np.arange(0), first, second)


def brute_force_f1(scores, is_outlier, threshold):
    taken = scores <= threshold
    true, false, missed = (taken & ~is_outlier).sum(), (taken & is_outlier).sum(), (~taken & ~is_outlier).sum()
    return 2 * true / (2 * true + false + missed)


# Few different scores, so that there are ties, and samples of both kinds.
labelled_scores = (
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=4, max_size=12)
    .filter(lambda samples: len({is_outlier for _, is_outlier in samples}) == 2)
    .map(lambda samples: (np.array([score for score, _ in samples], np.float32) / 3, np.array(samples, bool)[:, 1]))
)


@given(labelled_scores)
def test_no_other_threshold_is_better(sample):
    scores, is_outlier = sample
    threshold = best_threshold(scores, is_outlier)
    assert threshold in scores
    best = max(brute_force_f1(scores, is_outlier, each) for each in scores)
    assert brute_force_f1(scores, is_outlier, threshold) == pytest.approx(best, abs=1e-12)
    assert f1_of_inliers(scores, is_outlier, threshold) == pytest.approx(best, abs=1e-12)


@given(labelled_scores)
def test_the_area_is_the_share_of_pairs_in_order(sample):
    scores, is_outlier = sample
    pairs = list(product(scores[is_outlier], scores[~is_outlier]))
    expected = sum(1.0 if outlier > inlier else 0.5 * (outlier == inlier) for outlier, inlier in pairs) / len(pairs)
    assert area(scores, is_outlier) == pytest.approx(expected)


def test_every_share_has_its_outliers_and_its_threshold():
    generator = np.random.default_rng(0)
    validation, test = (np.append(generator.integers(0, 150, 90), generator.integers(50, 256, 90)) for _ in range(2))
    metrics = over_shares(FirstPixel(), split_of(validation, test), 8)
    counts = {10: 10, 20: 22, 30: 39, 40: 60, 50: 90}
    assert tuple(counts) == OUTLIER_PERCENT
    assert list(metrics) == [f"{metric} at {percent} %" for percent in counts for metric in ("auroc", "f1")]
    for percent, outliers in counts.items():
        is_outlier = np.array([False] * 90 + [True] * outliers)
        known, unknown = validation[: 90 + outliers], test[: 90 + outliers]
        threshold = max(known, key=lambda each: (brute_force_f1(known, is_outlier, each), each))
        assert metrics[f"auroc at {percent} %"] == pytest.approx(roc_auc_score(is_outlier, unknown))
        assert metrics[f"f1 at {percent} %"] == pytest.approx(f1_score(~is_outlier, unknown <= threshold))


def test_test_images_have_no_part_in_the_threshold():
    apart = np.repeat([10, 20], 90)
    metrics = over_shares(FirstPixel(), split_of(apart, apart + 100), 8)
    # Told apart perfectly, but everything is above the threshold that validation asks for.
    assert all(metrics[f"auroc at {percent} %"] == 1 for percent in OUTLIER_PERCENT)
    assert all(metrics[f"f1 at {percent} %"] == 0 for percent in OUTLIER_PERCENT)


def test_the_primal_loss_is_reconstruction_and_latent_together():
    is_outlier = np.array([False, False, True, True])
    scores = scores_with([0, 1, 2, 3])._replace(
        reconstruction=torch.tensor([0.0, 2.0, 1.0, 3.0]), latent=torch.tensor([0.0, 0.0, 2.0, 0.0])
    )
    metrics = auroc_of(scores, is_outlier)
    assert metrics == {"reconstruction": 0.75, "latent": 0.75, "gradient": 0.5, "combined": 1.0, "primal": 1.0}


@pytest.mark.parametrize("model", ["cae-grad", "vae"])
def test_a_detector_is_measured_on_the_test_images_of_its_class(digits_runs, model):
    detector = Detector.load(digits_runs / "digits" / model / "0" / "seed-0" / "detector.safetensors")
    split = one_class_split(read_digits(), "0", seed=0)
    metrics = measure_on("digits", "0", 0, None)(detector)
    scorer = Scorer.from_detector(detector)
    scores = scorer.score(split.test)
    primal = roc_auc_score(split.test_is_outlier, scores.reconstruction + scores.latent)
    assert metrics.pop("primal") == primal
    assert metrics == evaluate(scorer, split.test, split.test_is_outlier).auroc


@pytest.mark.usefixtures("two_classes")
def test_a_detector_of_a_fold_is_measured_over_all_shares():
    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(28, 28, bias=False)

        def forward(self, images):
            return self.layer(images)

    detector = Detector(Brightness(), {"layer.weight": torch.ones(28, 28)}, 1)
    assert len(measure_on("fashion-mnist", "Dog", 0, None)(detector)) == 2 * len(OUTLIER_PERCENT)
