"""How well each loss tells outliers from inliers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gradcon_ext.data.images import Images
from gradcon_ext.detector.parts import losses_of
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """Areas under the ROC curve.

    Attributes:
        auroc: of each loss by its name, as `gradcon_ext.detector.parts.losses_of` has them. 1 where every outlier
            scores higher than every inlier, 0.5 for scores that tell nothing.
        inliers: how many there were.
        outliers: how many there were.
    """

    auroc: dict[str, float]
    inliers: int
    outliers: int

    def table(self) -> str:
        """The metrics as lines of plain text."""
        width = max(map(len, self.auroc))
        lines = [f"{name:{width}}  {auroc:.3f}" for name, auroc in self.auroc.items()]
        return "\n".join([f"{'loss':{width}}  AUROC", *lines, f"{self.inliers} inliers, {self.outliers} outliers"])

    def as_json(self) -> dict[str, Any]:
        """The metrics as JSON can hold them, the areas to six decimals."""
        return {**asdict(self), "auroc": {name: round(auroc, 6) for name, auroc in self.auroc.items()}}


def evaluate(scorer: Scorer, images: Images, is_outlier: npt.ArrayLike, batch_size: int = 512) -> Evaluation:
    """Score images and compare the scores with what the images are.

    Args:
        scorer: a trained one.
        images: inliers and outliers, as `Scorer.score` takes them.
        is_outlier: (N,), true for each outlier.
        batch_size: images in memory at a time.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images; or as `evaluate_scores` does.
    """
    return evaluate_scores(scorer.score(images, batch_size), is_outlier)


def evaluate_scores(scores: Scores, is_outlier: npt.ArrayLike) -> Evaluation:
    """Compare scores with what the images are.

    Args:
        scores: of N images.
        is_outlier: (N,), true for each outlier.

    Raises:
        ValueError: `is_outlier` is not one truth value for each image or holds a single class, or a score is NaN or
            infinite.
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and needed here alone

    truth = _truth(is_outlier, len(scores.anomaly))
    losses = losses_of(scores)
    for name, loss in losses.items():
        if not loss.isfinite().all():
            index = int((~loss.isfinite()).int().argmax())
            raise ValueError(f"the {name} loss of image {index} is {loss[index].item()}; expected finite scores")
    auroc = {name: float(roc_auc_score(truth, loss.numpy())) for name, loss in losses.items()}
    outliers = int(truth.sum())
    return Evaluation(auroc, len(truth) - outliers, outliers)


def _truth(is_outlier: npt.ArrayLike, count: int) -> npt.NDArray[np.bool_]:
    values = is_outlier.cpu().numpy() if isinstance(is_outlier, torch.Tensor) else np.asarray(is_outlier)
    if values.shape != (count,) or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"is_outlier is {values.dtype} of shape {values.shape}; expected ({count},): true or false for each image"
        )
    truth = values.astype(bool)
    if truth.all() or not truth.any():
        kind = "outliers" if truth.any() else "inliers"
        raise ValueError(f"all {count} images are {kind}; expected both inliers and outliers")
    return truth
