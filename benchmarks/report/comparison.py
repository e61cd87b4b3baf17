"""Two measurements of the same work."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.timing import Measurement


@dataclass(frozen=True)
class Comparison:
    """What some part of a model, or a whole one, takes with images of a size."""

    what: str
    size: int
    ours: Measurement
    theirs: Measurement

    @property
    def ratio(self) -> float:
        return self.ours.microseconds / self.theirs.microseconds

    def __str__(self) -> str:
        return f"{self.what}, {self.size} pixels: {self.ours}; {self.theirs}; {self.ratio:.2f}"
