"""GradCon as an outlier detector of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from gradcon_ext.data.image_dataset import Shape
from gradcon_ext.estimator.fitting import fitted, scores_by
from gradcon_ext.models import ConvAutoencoder, fitting_depth
from gradcon_ext.scoring.balancing import ALPHA, EPOCHS, LEAD_IN
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.sklearn.inputs import Array, Inputs, check_size, image_shape_of
from gradcon_ext.sklearn.parameters import Parameters
from gradcon_ext.sklearn.plain_state import plain_state, restored
from gradcon_ext.sklearn.row_autoencoder import RowAutoencoder

if TYPE_CHECKING:
    from typing_extensions import Self

_FEWEST_HELD_OUT = 2  # A deviation needs two.
_FEWEST_ROWS = 2 + _FEWEST_HELD_OUT
_OF_IMAGES: dict[str, Any] = {"alpha": ALPHA, "epochs": EPOCHS, "lead_in": LEAD_IN}
_OF_ROWS: dict[str, Any] = {"alpha": 0.003, "epochs": 100, "lead_in": 0}
_FENCE = 1.5


@dataclass(eq=False, repr=False)
class GradConDetector(Parameters, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Outlier detector that scores rows or images by an autoencoder and the alignment of its gradients.

    As scikit-learn has it, `score_samples` and `decision_function` are lower for what is more anomalous: they are the
    negative of this package's scores.

    Images are rows with `image_shape`, or arrays (N, C, H, W) and (N, H, W); a convolutional autoencoder learns them.
    Their pixels are from 0 to 255 where `fit` is given uint8, from 0 to 1 where its floating-point values lie there,
    and else from the least to the greatest value that `fit` sees. Any other dtype with the same values gives the same
    scores later. Rows without `image_shape` are features: standardised (one that is constant
    in training keeps its unit), and learned by a fully connected autoencoder.

    Args:
        image_shape: (C, H, W), or (H, W) of grey images, of the image that a row is; None for features, and where
            arrays show it.
        part: of the score; one of `gradcon_ext.detector.parts.PARTS`, such as "combined", the paper's.
        epochs: passes over the training rows; by default 15 for images and 100 for features.
        lead_in: passes before these, without the constraint; by default 10 for images, which the balanced score is made
            for, and none for features. See `gradcon_ext.Trainer`.
        alpha: weight of the gradient constraint in training, by default 0.03 for images, as in the paper, and 0.003 for
            features.
        width: channels of the convolutional autoencoder, or numbers of the layers of the other between row and code.
        latent: numbers of a code of features, by default the square root of their number; images have none.
        learning_rate: of Adam.
        batch_size: rows a step.
        validation_fraction: share of the rows held out to choose the epoch and to tell the scale of scores; two rows
            at least.
        contamination: share of outliers in the training rows, above 0 and up to 0.5, that sets `offset_`. With "auto"
            it is Tukey's fence of the held-out rows: 1.5 interquartile ranges below their lower quartile.
        random_state: of the rows held out, the model and the order of rows.
        device: to train and score on.

    Attributes:
        offset_: `decision_function` is `score_samples` less this, so that it is negative for outliers.
        n_features_in_: numbers of a row, C * H * W of images.
        feature_names_in_: of a data frame's columns, where they are strings.
        image_shape_: (C, H, W) of images; None of features.
        part_: of the score, that `offset_` is of; another `part` is that of the next `fit`.
        detector_: the trained `gradcon_ext.Detector`.
    """

    contamination: float | Literal["auto"] = field(default="auto", kw_only=True)

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803 - as all estimators call it
        """Train on rows or images, most of which are inliers.

        Args:
            X: (N, F), or images (N, C, H, W) or (N, H, W); N at least 4.
            y: is not looked at.

        Raises:
            ValueError: too few rows, values that are NaN or infinite, rows that are all alike, or a parameter out of
                range.
            RuntimeError: the training led nowhere, several times.
        """
        self._check()
        rows, self.image_shape_ = self._rows(X, fitting=True)
        if (rows == rows[0]).all():
            raise ValueError(f"all {len(rows)} rows are alike: there is nothing to learn from them")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if self.image_shape_ is None:
            self._inputs, defaults = Inputs.of_features(rows), _OF_ROWS
        else:
            self._inputs, defaults = Inputs.of_images(rows, self.image_shape_), _OF_IMAGES
        latent = None if self.latent is None else int(self.latent)
        self._architecture = (self.image_shape_, rows.shape[1], int(self.width), latent)
        held_out = max(_FEWEST_HELD_OUT, round(self.validation_fraction * len(rows)))
        train, validation = train_test_split(np.arange(len(rows)), test_size=held_out, random_state=seed)
        inputs = self._inputs(rows)
        self.detector_ = fitted(
            lambda: _model(*self._architecture),
            inputs[train],
            inputs[validation],
            part=self.part,
            **{name: each if (given := getattr(self, name)) is None else given for name, each in defaults.items()},
            batch_size=self.batch_size,
            seed=seed,
            device=self.device,
            learning_rate=self.learning_rate,
        )
        self.part_ = self.part
        self._scorers: dict[str, Scorer] = {}
        scores = self._scores(inputs)
        if self.contamination == "auto":
            lower, upper = np.percentile(scores[validation], [25, 75])
            self.offset_ = lower - _FENCE * (upper - lower)
        else:
            self.offset_ = np.percentile(scores, 100 * self.contamination)
        return self

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the negative score (N,) of rows or images; lower is more anomalous.

        Args:
            X: as in `fit`, of at least one row.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
            ValueError: rows of another size, or values that are NaN or infinite.
        """
        check_is_fitted(self)
        rows, _ = self._rows(X, fitting=False)
        return self._scores(self._inputs(rows))

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return `score_samples` less `offset_`, (N,): negative for outliers."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:  # noqa: N803
        """Return -1 for outliers and 1 for inliers, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Arrays and numbers instead of the model, so that a pickle holds what those of scikit-learn hold."""
        state = dict(super().__getstate__())
        if "detector_" in state:
            state |= {"detector_": plain_state(state["detector_"]), "_scorers": {}}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "detector_" in state:
            self.detector_ = restored(state["detector_"], _model(*self._architecture))

    def _check(self) -> None:
        self._check_parameters()
        is_share = isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5
        if not is_share and self.contamination != "auto":
            raise ValueError(f"contamination must be 'auto', or above 0 and at most 0.5, got {self.contamination!r}")

    def _rows(self, X: Any, fitting: bool) -> tuple[Array, Shape | None]:  # noqa: N803
        """Rows (N, F) that are checked, and the shape of the images that they are."""
        found = tuple(X.shape[1:]) if getattr(X, "ndim", 2) in (3, 4) else None
        stated = self.image_shape if fitting else self.image_shape_
        if found is not None:
            if not fitting and stated is None:
                raise ValueError(f"X has shape {tuple(X.shape)}; expected rows of {self.n_features_in_} features")
            X = np.asarray(X).reshape(len(X), prod(found))  # noqa: N806
        shape = image_shape_of(stated, found)
        rows = validate_data(
            self,
            X,
            reset=fitting,
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=_FEWEST_ROWS if fitting else 1,
        )
        if shape is not None:
            check_size(rows, shape)
        return rows, shape

    def _scores(self, inputs: Array) -> npt.NDArray[np.float64]:
        if self.device not in self._scorers:
            self._scorers.clear()  # The model has moved away from the device of another.
            self._scorers[self.device] = Scorer.from_detector(self.detector_, device=self.device)
        return -scores_by(self._scorers[self.device], self.part_, inputs).astype(np.float64)


def _model(image_shape: Shape | None, features: int, width: int, latent: int | None) -> nn.Module:
    if image_shape is None:
        return RowAutoencoder(features, width, latent)
    channels, height, width_of_image = image_shape
    model = ConvAutoencoder(channels, (height, width_of_image), width, fitting_depth(height, width_of_image))
    vars(model)["accepts"] = "features"  # Pixels beyond those of training are scored, not refused.
    return model
