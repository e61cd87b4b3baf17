"""What is measured of a trained detector on the images that its protocol tests on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gradcon_ext.data import resize
from gradcon_ext.data.folds import FoldSplit, Mixture
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce.splits import FIVE_FOLD, five_fold, image_shape, one_class, shrunk
from gradcon_ext.scoring.evaluation import evaluate_scores
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores

Metrics: TypeAlias = dict[str, float]
"""Metrics by name: the AUROC of a loss, or "auroc at 10 %" and "f1 at 10 %" of the combined one."""

OUTLIER_PERCENT = (10, 20, 30, 40, 50)
"""Shares of outliers in Table 4."""


def measure_on(dataset: str, inlier: str, seed: int, data_root: Path | None) -> Callable[[Detector], Metrics]:
    """Load the test images of an experiment, once for all detectors that are measured on them.

    Args:
        dataset: one that is split by seed or by fold.
        inlier: name of the inlier class.
        seed: of the split, or the fold.
        data_root: folder of the data sets.

    Returns:
        A function from a detector to its metrics.
    """
    if dataset in FIVE_FOLD:
        _, size = image_shape(dataset)
        folds = five_fold(dataset, inlier, seed, data_root)
        return lambda detector: over_shares(Scorer.from_detector(detector), folds, size)
    split = one_class(dataset, inlier, seed, data_root)
    test = shrunk(dataset, split.test)
    return lambda detector: auroc_of(Scorer.from_detector(detector).score(test), split.test_is_outlier)


def auroc_of(scores: Scores, is_outlier: npt.NDArray[np.bool_]) -> Metrics:
    """AUROC of every loss, and of "primal", the sum of reconstruction and latent loss."""
    metrics = dict(evaluate_scores(scores, is_outlier).auroc)
    metrics["primal"] = area(scores.reconstruction + scores.latent, is_outlier)
    return metrics


def area(scores: Tensor | npt.NDArray[np.floating], is_outlier: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve of scores (M,) that are higher for outliers."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_outlier, np.asarray(scores)))


def over_shares(scorer: Scorer, split: FoldSplit, size: int) -> Metrics:
    """AUROC and F1 of the combined loss on the test fold, for each share of outliers (Table 4).

    Those of the balanced score, where there is one, have its name before theirs. The threshold of F1 is the one that is
    best on the validation fold with the same share of outliers; test images have no part in it. As in Pidhorskyi et
    al. (2018), inliers count as positive.
    """
    validation, test = (scorer.score(most_of(mixture, split, size)) for mixture in (split.validation, split.test))
    metrics = over_shares_of(validation.anomaly.numpy(), test.anomaly.numpy(), split)
    if validation.balanced is not None and test.balanced is not None:
        of_balanced = over_shares_of(validation.balanced.numpy(), test.balanced.numpy(), split)
        metrics |= {f"balanced {name}": metric for name, metric in of_balanced.items()}
    return metrics


def over_shares_of(validation: npt.NDArray[np.floating], test: npt.NDArray[np.floating], split: FoldSplit) -> Metrics:
    """As `over_shares` measures, of scores that are there: of the images that `most_of` takes of either mixture."""
    metrics: Metrics = {}
    for percent in OUTLIER_PERCENT:
        # Outliers come last, and those of a larger share after those of a smaller one.
        (_, known_is_outlier), (_, is_outlier) = (
            mixture.with_outliers(percent) for mixture in (split.validation, split.test)
        )
        known, scores = validation[: len(known_is_outlier)], test[: len(is_outlier)]
        metrics[f"auroc at {percent} %"] = area(scores, is_outlier)
        metrics[f"f1 at {percent} %"] = f1_of_inliers(scores, is_outlier, best_threshold(known, known_is_outlier))
    return metrics


def best_threshold(scores: npt.NDArray[np.floating], is_outlier: npt.NDArray[np.bool_]) -> float:
    """The largest score that still counts as an inlier, where that gives inliers the best F1."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(~is_outlier, -scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return -float(thresholds[np.argmax(f1[:-1])])


def f1_of_inliers(scores: npt.NDArray[np.floating], is_outlier: npt.NDArray[np.bool_], threshold: float) -> float:
    """F1 of the inliers, which are the samples with scores up to the threshold."""
    from sklearn.metrics import f1_score

    return float(f1_score(~is_outlier, scores <= threshold))


def most_of(mixture: Mixture, split: FoldSplit, size: int) -> ImageArray:
    """Images of a fold's inliers, and of as many outliers as the largest share takes; uint8 (M, C, `size`, `size`)."""
    indices, _ = mixture.with_outliers(max(OUTLIER_PERCENT))
    return resize(split.images[indices], size)
