"""One score of an image from those of its tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

_KINDS = ("max", "largest", "quantile")


@dataclass(frozen=True)
class Pooling:
    """The score of an image from those of its tiles.

    Attributes:
        kind: "max", the largest; "largest", the mean of the k largest, or of all where there are fewer; or "quantile".
        value: k, or which quantile, from 0 to 1.

    Raises:
        ValueError: another kind, or a value out of range.
    """

    kind: str = "max"
    value: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"pooling must be one of {', '.join(_KINDS)}, got {self.kind!r}")
        if self.kind == "largest" and not (self.value >= 1 and float(self.value).is_integer()):
            raise ValueError(f"the number of largest scores must be a whole one of at least 1, got {self.value}")
        if self.kind == "quantile" and not 0 <= self.value <= 1:
            raise ValueError(f"a quantile must be from 0 to 1, got {self.value}")

    @classmethod
    def parse(cls, text: str) -> Pooling:
        """Read "max", "largest:3" or "quantile:0.9".

        Raises:
            ValueError: any other text.
        """
        kind, _, value = text.partition(":")
        try:
            return cls(kind, float(value)) if value else cls(kind)
        except ValueError as error:
            raise ValueError(f"expected a pooling such as max, largest:3 or quantile:0.9, got {text!r}") from error

    def __str__(self) -> str:
        return self.kind if self.kind == "max" else f"{self.kind}:{self.value:g}"

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the pooled score, (), of the scores of an image's tiles, of any shape."""
        return self.of_each(scores.flatten()[None])[0]

    def of_each(self, scores: Tensor) -> Tensor:
        """Return the pooled scores (N,) of N images with as many tiles, (N, tiles)."""
        if self.kind == "quantile":
            return self._quantile(scores)
        if self.kind == "largest":
            return scores.topk(min(int(self.value), scores.shape[1])).values.mean(1)
        return scores.amax(1)

    def ranks(self, count: int) -> tuple[int, int, float]:
        """Return which two of so many scores, from the least on, a quantile is between, and how far past the first."""
        rank = self.value * (count - 1)
        return math.floor(rank), math.ceil(rank), rank - math.floor(rank)

    def _quantile(self, scores: Tensor) -> Tensor:
        """As `Tensor.quantile`, which torch 2.10 does not export."""
        below, above, beyond = self.ranks(scores.shape[1])
        ascending = scores.sort(1).values
        largest = ascending[:, -1]  # What is no number comes last, and leaves its image none.
        return ascending[:, below].lerp(ascending[:, above], beyond).where(~largest.isnan(), largest)
