"""Metrics of an evaluation as `gradcon evaluate` prints them and writes them down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.cli.verdicts import percent
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.parts import losses_of
from gradcon_ext.scoring.metrics import Estimate, Metrics, measure, measure_folders, share_tied
from gradcon_ext.scoring.scores import Scores

_COLUMNS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "false_alarms_at_95": "false alarms at 95 %",
    "f1": "F1 of verdicts",
}
_TIED = 0.01
"""Of pairs, from which on it is said that they score alike."""
_MOST_FOLDERS = 50


@dataclass(frozen=True)
class Measured:
    """What was measured of the scores of labelled images.

    Attributes:
        part: of the score, decides.
        calibration: of the detector, if it has one.
        losses: metrics of each loss.
        folders: the same for the outliers of each folder of them; of none where there are very many.
        left_out: how many folders that is.
        tied: losses of which many pairs of an inlier and an outlier score alike, and how many of all pairs do.
    """

    part: str
    calibration: Calibration | None
    losses: Mapping[str, Metrics]
    folders: Mapping[str, Mapping[str, Metrics]]
    tied: Mapping[str, float]
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """What the file holds of it."""
        calibration = self.calibration
        return {
            "part": self.part,
            "false_alarm_rate": None if calibration is None else calibration.rate,
            "calibration_images": None if calibration is None else calibration.count,
            "metrics": _as_json(self.losses),
            "folders": {folder: _as_json(losses) for folder, losses in self.folders.items()},
        }

    def report(self, inliers: int, outliers: int) -> str:
        """All of it in lines of plain text."""
        return "\n".join([*self._table(), f"{inliers} inliers, {outliers} outliers", *self._verdicts(), *self._rows()])

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each loss that hardly ranks."""
        for name, share in self.tied.items():
            yield f"of {percent(share)} of all pairs of an inlier and an outlier the {name} scores are equal"

    def _table(self) -> Iterator[str]:
        columns = {name: title for name, title in _COLUMNS.items() if name != "f1" or self.calibration is not None}
        width = max(map(len, self.losses))
        yield f"{'loss':{width}}  {'  '.join(f'{title:20}' for title in columns.values())}".rstrip()
        for loss, metrics in self.losses.items():
            cells = "  ".join(f"{_share(getattr(metrics, name)):20}" for name in columns)
            yield f"{loss:{width}}  {cells}".rstrip()
        yield "In brackets: what 95 % of bootstrap resamples of the images give."

    def _verdicts(self) -> Iterator[str]:
        metrics, calibration = self.losses[self.part], self.calibration
        if calibration is None or metrics.f1 is None:
            return
        yield f"Verdicts by {self.part} at a false-alarm rate of {percent(calibration.rate)}:"
        yield f"  outliers: {_count(metrics.detected)} detected, {_count(metrics.missed)} missed"
        yield f"  inliers: {_count(metrics.false_alarms)} called outliers, {_count(metrics.passed)} passed"

    def _rows(self) -> Iterator[str]:
        if self.left_out:
            yield f"Not rated by folder of outliers: there are {self.left_out}, more than {_MOST_FOLDERS}."
        if not self.folders:
            return
        width = max(map(len, self.folders))
        yield f"By folder of outliers, {self.part}:"
        for folder, losses in self.folders.items():
            metrics = losses[self.part]
            detected = "" if metrics.detected is None else f", {_count(metrics.detected)} detected"
            yield f"  {folder:{width}}  AUROC {_share(metrics.auroc)}{detected}"


def measured(
    scores: Scores,
    is_outlier: npt.NDArray[np.bool_],
    folders: Sequence[str | None],
    part: str,
    calibration: Calibration | None,
) -> Measured:
    """Measure scores of N images.

    Args:
        scores: finite ones.
        is_outlier: (N,).
        folders: (N,), of each outlier the folder that it is rated with too; None elsewhere.
        part: of the score, decides.
        calibration: of the detector.
    """
    losses = {name: loss.numpy() for name, loss in losses_of(scores).items()}
    calibrated = [] if calibration is None else [name for name in losses if name in calibration.scores]
    thresholds = {name: calibration.threshold(name) for name in calibrated if calibration is not None}
    shares = {name: share_tied(loss, is_outlier) for name, loss in losses.items()}
    count = len({folder for folder in folders if folder is not None})
    few = count <= _MOST_FOLDERS
    return Measured(
        part,
        calibration,
        measure(losses, is_outlier, thresholds),
        measure_folders(losses, is_outlier, folders, thresholds) if few else {},
        {name: share for name, share in shares.items() if share >= _TIED},
        left_out=0 if few else count,
    )


def _as_json(losses: Mapping[str, Metrics]) -> dict[str, Any]:
    return {name: metrics.as_json() for name, metrics in losses.items()}


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _count(estimate: Estimate | None) -> str:
    assert estimate is not None  # all metrics of a verdict are there, or none
    return f"{estimate.value:.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"
