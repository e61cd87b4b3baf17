"""GradCon by the convention of PyOD: scores are higher for what is more anomalous, and outliers are labelled 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from gradcon_ext.scoring.balancing import ALPHA
from gradcon_ext.sklearn import GradConDetector

try:
    from pyod.models.base import BaseDetector
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gradcon_ext.pyod needs PyOD: pip install 'gradcon_ext[pyod]'") from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GradCon"]

_OF_PYOD = "contamination"


class GradCon(BaseDetector):  # type: ignore[misc]  # PyOD has no types
    """`gradcon_ext.sklearn.GradConDetector` as a detector of PyOD, which says what the parameters mean.

    Args:
        contamination: share of outliers in the training rows, above 0 and up to 0.5, that sets `threshold_`; or one of
            PyOD's thresholders.
        image_shape: (C, H, W), or (H, W), of the image that a row is; None for features.
        part: of the score.
        epochs: passes over the training rows.
        alpha: weight of the gradient constraint in training.
        width: of the autoencoder.
        latent: numbers of a code of features.
        learning_rate: of Adam.
        batch_size: rows a step.
        validation_fraction: share of the rows held out.
        random_state: of the rows held out, the model and the order of rows.
        device: to train and score on.

    Attributes:
        decision_scores_: of the training rows, (N,); higher is more anomalous.
        threshold_: scores above it are those of outliers.
        labels_: of the training rows, 0 for inliers and 1 for outliers, (N,).
        detector_: the fitted `GradConDetector`.

    Raises:
        ValueError: the contamination is none.
    """

    def __init__(
        self,
        contamination: Any = 0.1,
        image_shape: tuple[int, ...] | None = None,
        part: str = "balanced",
        epochs: int | None = None,
        alpha: float = ALPHA,
        width: int = 32,
        latent: int | None = None,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(contamination=contamination)
        self.image_shape = image_shape
        self.part = part
        self.epochs = epochs
        self.alpha = alpha
        self.width = width
        self.latent = latent
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803 - as all estimators call it
        """Train on rows or images, most of which are inliers; arguments and errors are those of `GradConDetector`."""
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name != _OF_PYOD}
        self._set_n_classes(y)
        self.detector_ = GradConDetector(**parameters).fit(X)
        self.n_features_in_ = self.detector_.n_features_in_
        self.decision_scores_ = -self.detector_.score_samples(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the score (N,) of rows or images; higher is more anomalous."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return np.asarray(-self.detector_.score_samples(X))
