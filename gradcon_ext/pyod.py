"""GradCon by the convention of PyOD: scores are higher for what is more anomalous, and outliers are labelled 1."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from gradcon_ext.sklearn import GradConDetector
from gradcon_ext.sklearn.parameters import Parameters

try:
    from pyod.models.base import BaseDetector
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gradcon_ext.pyod needs PyOD: pip install 'gradcon_ext[pyod]'") from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GradCon"]


@dataclass(eq=False, repr=False)
class _Contamination:
    """A class of its own, so that its parameter is the first, as PyOD has it."""

    contamination: Any = 0.1


@dataclass(eq=False, repr=False)
class GradCon(Parameters, _Contamination, BaseDetector):  # type: ignore[misc]  # PyOD has no types
    """`gradcon_ext.sklearn.GradConDetector` as a detector of PyOD.

    Args:
        contamination: share of outliers in the training rows, above 0 and up to 0.5, that sets `threshold_`; or one of
            PyOD's thresholders. All other parameters are those of `GradConDetector`, which says what they mean.

    Attributes:
        decision_scores_: of the training rows, (N,); higher is more anomalous.
        threshold_: scores above it are those of outliers.
        labels_: of the training rows, 0 for inliers and 1 for outliers, (N,).
        detector_: the fitted `GradConDetector`.

    Raises:
        ValueError: the contamination is none.
    """

    def __post_init__(self) -> None:
        BaseDetector.__init__(self, contamination=self.contamination)

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803 - as all estimators call it
        """Train on rows or images, most of which are inliers; arguments and errors are those of `GradConDetector`."""
        parameters = {field.name: getattr(self, field.name) for field in fields(Parameters)}
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
