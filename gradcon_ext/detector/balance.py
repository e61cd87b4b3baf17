"""The balanced score: parts of a score on one scale each. Its arithmetic is that of torch as well as of numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

WEIGHTS = {"code": 3.0, "gradient": 1.0, "reconstruction": 1.0}
"""What each part counts for; chosen on some classes and one seed before others were looked at (results/README.md)."""


@dataclass(frozen=True)
class Balance:
    """What turns the parts of a score into the balanced one. Arrays are tensors, or numpy's where there is no torch.

    The part "code" tells how far the direction of an image's code leaves those of training: with u the code at length
    1 less its mean over the training images, it is |u|^2 - sum over k of (u . d_k)^2. Each d_k lies along a principal
    direction of the training images' u, at the length sqrt(v / (v + r)) where v is the variance along it and r a ridge:
    this is r times the Mahalanobis distance of the ridge estimate. From 0 to 4.

    Attributes:
        mean: of the training images' codes at length 1, (D,).
        directions: d_k in columns, (D, K).
        center: mean of each part over held-out inliers, by the names of `WEIGHTS`.
        scale: their standard deviation, or 1 where they are all alike.
    """

    mean: Any
    directions: Any
    center: Mapping[str, float]
    scale: Mapping[str, float]

    def to(self, like: Any) -> Balance:
        """Of tensors: with its arrays of the dtype and on the device of another one."""
        return replace(self, mean=self.mean.to(like), directions=self.directions.to(like))

    def code_part(self, code: Any) -> Any:
        """How far codes (N, D) leave those of training, (N,). A code of zeros has no direction, and counts as such."""
        length = (code * code).sum(1) ** 0.5
        centered = code / (length + (length == 0))[:, None] - self.mean
        within = centered @ self.directions
        return (centered * centered).sum(1) - (within * within).sum(1)

    def combined(self, code: Any, gradient: Any, reconstruction: Any) -> Any:
        """The balanced score (N,) of parts (N,): a weighted sum of how many deviations each lies from held-out inliers.

        Args:
            code: as `code_part` returns it.
            gradient: minus the mean cosine.
            reconstruction: the sum of reconstruction and latent loss.
        """
        parts = {"code": code, "gradient": gradient, "reconstruction": reconstruction}
        return sum(WEIGHTS[name] * ((part - self.center[name]) / self.scale[name]) for name, part in parts.items())
