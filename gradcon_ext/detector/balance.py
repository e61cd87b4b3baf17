"""The balanced score: parts of a score on one scale each. Its arithmetic is that of torch as well as of numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

TERMS = ("direction", "code", "gradient", "reconstruction")
"""What the balanced score is made of."""

WEIGHTS = {"direction": 4.0, "code": 2.0, "gradient": 1.0, "reconstruction": 1.0}
"""What each part counts for; chosen on some classes and one seed before others were looked at (results/README.md).

Files that name none have these."""

WEIGHTS_AFTER_LEAD_IN = {**WEIGHTS, "gradient": 2.0}
"""The same of a model whose decoder was trained after a lead-in (see `gradcon_ext.training.lead_in`)."""


@dataclass(frozen=True)
class Subspace:
    """What vectors of training images vary along. Arrays are tensors, or numpy's where there is no torch.

    Each d_k lies along a principal direction, at the length sqrt(v / (v + r)) where v is the variance along it and r a
    ridge.

    Attributes:
        mean: of the vectors, (D,).
        directions: d_k in columns, (D, K).
    """

    mean: Any
    directions: Any

    def distance(self, vectors: Any) -> Any:
        """Return |x|^2 - sum over k of (x . d_k)^2 of vectors (N, D), x being a vector less the mean; (N,).

        That is r times the Mahalanobis distance of the ridge estimate of the covariance. It is a small difference of
        large sums, so that of float32 vectors too it is to be computed in float64 (see `Balance.on`).
        """
        centered = vectors - self.mean
        within = centered @ self.directions
        return (centered * centered).sum(1) - (within * within).sum(1)

    def to(self, like: Any) -> Subspace:
        """Of tensors: with those of the dtype and on the device of another one."""
        return self.map(lambda array: array.to(like))

    def map(self, function: Callable[[Any], Any]) -> Subspace:
        """With what a function makes of each array."""
        return Subspace(function(self.mean), function(self.directions))


@dataclass(frozen=True)
class Balance:
    """What turns the parts of a score into the balanced one.

    Attributes:
        direction: of training images' codes at length 1.
        code: of training images' codes.
        center: mean of each part over held-out inliers, by the names of `TERMS`.
        scale: their standard deviation, or 1 where they are all alike.
        weights: what each part counts for.
    """

    direction: Subspace
    code: Subspace
    center: Mapping[str, float]
    scale: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    @property
    def facts(self) -> dict[str, Any]:
        """All but the arrays, as JSON can hold it."""
        return {"center": dict(self.center), "scale": dict(self.scale), "weights": dict(self.weights)}

    def on(self, device: Any) -> Balance:
        """Of tensors: with those of float64 on a device."""
        return self.map(lambda array: array.to(device).double())

    def map(self, function: Callable[[Any], Any]) -> Balance:
        """With what a function makes of each array."""
        return replace(self, direction=self.direction.map(function), code=self.code.map(function))

    def code_parts(self, code: Any) -> tuple[Any, Any]:
        """How far the direction of codes (N, D), and how far they themselves, leave those of training; (N,) each.

        Args:
            code: in float64, as the arrays are to be.

        Raises:
            ValueError: codes of another size than those of training.
        """
        self.check_size(code.shape[1])
        return self.direction.distance(at_length_1(code)), self.code.distance(code)

    def check_size(self, size: int) -> None:
        """Refuse codes of another size than those of training, by a ValueError."""
        expected = (len(self.direction.mean), len(self.code.mean))
        if expected != (size, size):
            raise ValueError(f"the balance is of codes of {expected} numbers; the model's have {size}")

    def combined(self, direction: Any, code: Any, gradient: Any, reconstruction: Any) -> Any:
        """The balanced score (N,) of parts (N,): a weighted sum of how many deviations each lies from held-out inliers.

        Args:
            direction: as `code_parts` returns it.
            code: likewise.
            gradient: minus the mean cosine.
            reconstruction: the sum of reconstruction and latent loss.
        """
        parts = {"direction": direction, "code": code, "gradient": gradient, "reconstruction": reconstruction}
        return weighted(parts, self.center, self.scale, self.weights)


def weighted(
    parts: Mapping[str, Any], center: Mapping[str, float], scale: Mapping[str, float], weights: Mapping[str, float]
) -> Any:
    """Return the weighted sum of parts (N,) in deviations from a center."""
    return sum(weights[name] * ((parts[name] - center[name]) / scale[name]) for name in TERMS)


def at_length_1(code: Any) -> Any:
    """Codes (N, D) at length 1; one of zeros stays as it is."""
    length = (code * code).sum(1) ** 0.5
    return code / (length + (length == 0))[:, None]
