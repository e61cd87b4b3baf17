"""What a report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gradcon_ext.scoring.overlay import Scale

Verdict = Literal["outlier", "inlier"]


@dataclass(frozen=True)
class ImageRow:
    """What is known of one image.

    Attributes:
        path: its name, whatever characters are in it.
        anomaly: its score, finite, higher is more anomalous; None for an image without one.
        p_value: share of inliers that would score as high, where the detector is calibrated.
        verdict: likewise.
        error: why there is no score.
        parts: of the score, by name.
    """

    path: str
    anomaly: float | None = None
    p_value: float | None = None
    verdict: Verdict | None = None
    error: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A PNG file, what stands under it, and what it shows for who cannot see it."""

    png: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        title: of the page.
        facts: of the run, by name.
        rows: of all images, in any order.
        pictures: of some of them, by their number in `rows`.
        scales: of the heat maps in the pictures, by their names.
        threshold: score from which on images are outliers; None where there are no verdicts.
        no_verdict: why there are none, if so.
    """

    title: str
    facts: Mapping[str, str]
    rows: Sequence[ImageRow]
    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    threshold: float | None = None
    no_verdict: str | None = None

    @property
    def worst_first(self) -> list[int]:
        """Numbers of the images that have a score, the most anomalous first."""
        scored = [(row.anomaly, number) for number, row in enumerate(self.rows) if row.anomaly is not None]
        return [number for _, number in sorted(scored, key=lambda pair: (-pair[0], pair[1]))]
