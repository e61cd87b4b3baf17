"""What turns a score into a p-value and a verdict: the scores of normal images that were used for nothing else.

Split-conformal p-values, after Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World. Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.detector.parts import PARTS
from gradcon_ext.storage.header import Stored

TENSOR = "calibration.scores"
"""What a detector's file calls the scores, float32 (parts, n)."""

RATE = 0.01
"""The false-alarm rate where none is stated."""

VERDICTS = ("inlier", "outlier")
"""By whether it is an outlier."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Calibration:
    """Scores of calibration images, by which those of others are judged.

    If an image is as normal as these are (exchangeable with them), its p-value is at most r with a probability of at
    most r, for every r, whatever the model and the distribution. That is an average over draws of calibration images:
    with few of them, the rate that one detector has differs from it.

    Attributes:
        rate: stated false-alarm rate, above 0 and below 1.
        scores: of each part of a score by its name, float32 (n,), in ascending order.
    """

    rate: float
    scores: Mapping[str, Array]

    @property
    def count(self) -> int:
        """How many calibration images there were."""
        return len(next(iter(self.scores.values())))

    @property
    def least_rate(self) -> float:
        """The smallest p-value, and so the smallest false-alarm rate at which anything is an outlier."""
        return 1 / (self.count + 1)

    def p_values(self, part: str, scores: Array) -> npt.NDArray[np.float64]:
        """Return (1 + how many calibration images score as high or higher) / (n + 1) of scores (N,).

        A score that is not a number counts as higher than all others.

        Raises:
            ValueError: there is no such part among those that were calibrated.
        """
        own = self._own(part)
        return np.asarray((1 + self.count - own.searchsorted(scores, "left")) / (self.count + 1))

    def threshold(self, part: str, rate: float | None = None) -> float:
        """Return the number above which a score has a p-value of at most `rate`, by default the stated one.

        It is infinite for a rate below `least_rate`.

        Raises:
            ValueError: there is no such part among those that were calibrated, or the rate is not between 0 and 1.
        """
        rate = checked_rate(self.rate if rate is None else rate)
        own = self._own(part)
        allowed = self.most_as_high(rate)
        return float(own[-allowed]) if allowed else float("inf")

    def most_as_high(self, rate: float) -> int:
        """Return how many images, an outlier itself and those of calibration, score as high as it or higher at most."""
        most = round(rate * (self.count + 1))
        # As p-values are compared with the rate, whatever the rounding of the product.
        return most - 1 if most / (self.count + 1) > rate else most

    def at(self, rate: float | None) -> Calibration:
        """The same with another stated rate; None keeps it.

        Raises:
            ValueError: the rate is not between 0 and 1.
        """
        return self if rate is None else replace(self, rate=checked_rate(rate))

    def _own(self, part: str) -> Array:
        if part not in self.scores:
            raise ValueError(f"the part {part!r} was not calibrated; expected one of {', '.join(self.scores)}")
        return self.scores[part]

    def facts(self) -> dict[str, Any]:
        """What a detector's file says of it beside the scores; what JSON can hold."""
        return {"rate": self.rate, "parts": list(self.scores)}


def checked_rate(rate: float) -> float:
    """Return a false-alarm rate, or raise ValueError unless it is between 0 and 1."""
    if not 0 < rate < 1:
        raise ValueError(f"a false-alarm rate must be above 0 and below 1, got {rate}")
    return rate


def calibration_of(facts: Mapping[str, Any] | None, stored: Stored | None) -> Calibration | None:
    """Return the calibration of a detector's file, if it has one.

    Args:
        facts: what the file says of it.
        stored: the tensor of scores.

    Raises:
        ValueError: they are not what `Calibration` holds.
    """
    if facts is None:
        return None
    if not _are_facts(facts):
        raise ValueError(f"expected rate and parts of a calibration, got {str(facts)[:200]}")
    if stored is None:
        raise ValueError(f"there is no tensor {TENSOR}")
    parts = facts["parts"]
    if stored.dtype != "float32" or len(stored.shape) != 2 or stored.shape[0] != len(parts) or stored.shape[1] < 1:
        raise ValueError(f"{TENSOR}: expected float32 ({len(parts)}, n), got {stored.dtype} {stored.shape}")
    scores = np.frombuffer(stored.data, np.float32).reshape(stored.shape)
    if not np.isfinite(scores).all() or (np.diff(scores, axis=1) < 0).any():
        raise ValueError(f"{TENSOR}: expected finite numbers in ascending order")
    return Calibration(facts["rate"], dict(zip(parts, scores, strict=True)))


def _are_facts(facts: Mapping[str, Any]) -> bool:
    if facts.keys() != {"rate", "parts"}:
        return False
    rate, parts = facts["rate"], facts["parts"]
    if not isinstance(rate, float) or not 0 < rate < 1 or not isinstance(parts, list) or not parts:
        return False
    return all(isinstance(part, str) and part in PARTS for part in parts) and len(set(parts)) == len(parts)
