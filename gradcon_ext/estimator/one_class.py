"""A detector behind the protocol that conformal and outlier-detection libraries share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.held_out import held_out
from gradcon_ext.detector.detector import Detector
from gradcon_ext.estimator.fitting import fitted, scores_by
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.balancing import ALPHA, EPOCHS, LEAD_IN
from gradcon_ext.scoring.scorer import Scorer

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class OneClassDetector:
    """A detector as `nonconform` takes one, with its `fit` and `decision_function` on rows of pixels.

    It can be copied, fitted or not, and is fitted anew with each call of `fit`; until then, one that is fitted scores
    by the part, and images of the shape, that it was fitted with. Scores are higher for what is more anomalous, as
    `nonconform` and PyOD have it.

    Attributes:
        image_shape: (C, H, W) of the image that a row of C * H * W pixels is.
        part: of the score, that is returned; one of `gradcon_ext.detector.parts.PARTS`.
        detector: a trained one, to score with until `fit` has made another.
        alpha: weight of the constraint in training.
        epochs: passes over the training images.
        lead_in: passes before these, without the constraint, which the balanced score is made for; see
            `gradcon_ext.Trainer`.
        batch_size: images a step.
        width: channels of the autoencoder.
        device: to train and score on.
        random_state: seed of the split, the model and the order of images; None is 0.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    part: str = "balanced"
    detector: Detector | None = None
    alpha: float = ALPHA
    epochs: int = EPOCHS
    lead_in: int = LEAD_IN
    batch_size: int = 64
    width: int = 32
    device: str = "cpu"
    random_state: int | None = None

    def fit(self, X: npt.NDArray[Any], y: object = None) -> Self:  # noqa: N803 - as all estimators call it
        """Train on images of inliers, 10 % of which are held out to choose the epoch and to tell the scale of scores.

        Args:
            X: (N, C * H * W), uint8 from 0 to 255 or floating point from 0 to 1.
            y: is not looked at.

        Raises:
            TypeError: pixels of another dtype.
            ValueError: rows of another size, too few of them, or pixels out of range.
        """
        seed = self.random_state or 0
        images = _images(X, self.image_shape)
        parts = held_out(len(images), seed, calibration=False)
        channels, *size = self.image_shape
        self.detector_ = fitted(
            lambda: ConvAutoencoder(channels, size, self.width),
            images[parts.train],
            images[parts.validation],
            part=self.part,
            alpha=self.alpha,
            epochs=self.epochs,
            lead_in=self.lead_in,
            batch_size=self.batch_size,
            seed=seed,
            device=self.device,
        )
        self.part_, self.image_shape_ = self.part, self.image_shape
        return self

    def decision_function(self, X: npt.NDArray[Any]) -> npt.NDArray[np.float32]:  # noqa: N803
        """Return the part of the score (N,) of images; higher is more anomalous.

        Args:
            X: as in `fit`.

        Raises:
            TypeError, ValueError: as in `fit`; or there is no detector yet, or it has no such part.
        """
        detector = getattr(self, "detector_", self.detector)
        part, image_shape = getattr(self, "part_", self.part), getattr(self, "image_shape_", self.image_shape)
        if detector is None:
            raise ValueError("there is no trained detector yet: call fit, or give one")
        return scores_by(Scorer.from_detector(detector, device=self.device), part, _images(X, image_shape))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what the constructor takes, by name; `deep` makes no difference."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Change what the constructor takes.

        Raises:
            ValueError: it takes no such thing.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(f"there is no parameter {name!r}; expected one of {', '.join(known)}")
        vars(self).update(params)
        return self


def _images(rows: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    pixels, size = np.asarray(rows), prod(shape)
    if pixels.ndim != 2 or pixels.shape[1] != size:
        raise ValueError(f"rows have shape {pixels.shape}; expected (N, {size}), images of {shape}")
    return pixels.reshape(-1, *shape)
