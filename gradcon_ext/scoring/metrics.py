"""How well scores tell outliers from inliers, and verdicts too, with the uncertainty of so many images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcon_ext.scoring.bootstrap import DETECTION, RESAMPLES, Ranking, Values, interval, resamples

Truth = npt.NDArray[np.bool_]
Losses = Mapping[str, npt.NDArray[Any]]


class Estimate(NamedTuple):
    """A metric, and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metrics:
    """Metrics of one loss. Those from `f1` on are of the verdict at a threshold, and None without one.

    Attributes:
        auroc: area under the ROC curve.
        average_precision: area under the curve of precision over detection, as a sum of steps.
        false_alarms_at_95: share of inliers that score as high as the threshold that 95 % of outliers reach.
        f1: harmonic mean of precision and detection.
        detected: number of outliers that are called so,
        missed: and that are not.
        false_alarms: number of inliers that are called outliers,
        passed: and that are not.
    """

    auroc: Estimate
    average_precision: Estimate
    false_alarms_at_95: Estimate
    f1: Estimate | None = None
    detected: Estimate | None = None
    missed: Estimate | None = None
    false_alarms: Estimate | None = None
    passed: Estimate | None = None

    def as_json(self) -> dict[str, Any]:
        """The metrics as JSON can hold them, to six decimals."""
        return {
            name: {end: round(number, 6) for end, number in estimate._asdict().items()}
            for name, estimate in vars(self).items()
            if estimate is not None
        }


def measure(
    losses: Losses,
    is_outlier: Truth,
    thresholds: Mapping[str, float] | None = None,
    number: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Metrics]:
    """Measure losses of N images.

    Args:
        losses: (N,) each, by their names; finite, and higher for what is more anomalous.
        is_outlier: (N,), both kinds of it.
        thresholds: of the losses with a verdict; what is above one is called an outlier.
        number: of stratified bootstrap resamples, the same ones for all losses.
        seed: of the resamples.
    """
    limits = dict(thresholds or {})
    rankings = {name: Ranking.of(loss, is_outlier) for name, loss in losses.items()}
    called = {name: losses[name] > limit for name, limit in limits.items()}
    samples: dict[str, list[dict[str, Values]]] = {name: [] for name in losses}
    for counts in resamples(is_outlier, number, seed):
        for name, ranking in rankings.items():
            verdicts = _of_verdicts(counts, called[name], is_outlier) if name in called else {}
            samples[name].append({**ranking.metrics(counts), **verdicts})
    values = {name: _values(loss, is_outlier, called.get(name)) for name, loss in losses.items()}
    return {name: _metrics(values[name], samples[name]) for name in losses}


def measure_folders(
    losses: Losses,
    is_outlier: Truth,
    folders: Sequence[str | None],
    thresholds: Mapping[str, float] | None = None,
    number: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Metrics]]:
    """Measure the outliers of each folder against all inliers; the arguments are those of `measure`.

    Args:
        losses: as above.
        is_outlier: likewise.
        folders: (N,), the folder of each outlier; None elsewhere.
        thresholds: as above.
        number: likewise.
        seed: likewise.
    """
    of_image = np.array(folders, dtype=object)
    measured = {}
    for folder in sorted({folder for folder in folders if folder is not None}):
        chosen = ~is_outlier | (of_image == folder)
        some = {name: loss[chosen] for name, loss in losses.items()}
        measured[folder] = measure(some, is_outlier[chosen], thresholds, number, seed)
    return measured


def share_tied(loss: npt.NDArray[Any], is_outlier: Truth) -> float:
    """Of all pairs of an inlier and an outlier, the share that score exactly alike."""
    _, group = np.unique(loss, return_inverse=True)
    inliers, outliers = (np.bincount(group[is_outlier == kind], minlength=group.max() + 1) for kind in (False, True))
    return float(inliers @ outliers / (inliers.sum() * outliers.sum()))


def _values(loss: npt.NDArray[Any], is_outlier: Truth, called: Truth | None) -> dict[str, float]:
    # Slow to import, and needed here alone.
    from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score, roc_curve

    false_alarms, detected, _ = roc_curve(is_outlier, loss, drop_intermediate=False)
    values = {
        "auroc": roc_auc_score(is_outlier, loss),
        "average_precision": average_precision_score(is_outlier, loss),
        "false_alarms_at_95": false_alarms[np.argmax(detected >= DETECTION - 1e-9)],
    }
    if called is not None:
        passed, false, missed, found = confusion_matrix(is_outlier, called, labels=[False, True]).ravel()
        f1 = f1_score(is_outlier, called, zero_division=0)
        values |= {"f1": f1, "detected": found, "missed": missed, "false_alarms": false, "passed": passed}
    return {name: float(value) for name, value in values.items()}


def _of_verdicts(counts: npt.NDArray[np.int64], called: Truth, is_outlier: Truth) -> dict[str, Values]:
    def number(chosen: Truth) -> Values:
        return np.asarray(counts[:, chosen].sum(1), dtype=np.float64)

    detected, missed = number(called & is_outlier), number(~called & is_outlier)
    false_alarms, passed = number(called & ~is_outlier), number(~called & ~is_outlier)
    f1 = 2 * detected / (2 * detected + missed + false_alarms)
    return {"f1": f1, "detected": detected, "missed": missed, "false_alarms": false_alarms, "passed": passed}


def _metrics(values: dict[str, float], samples: list[dict[str, Values]]) -> Metrics:
    columns = {name: np.concatenate([sample[name] for sample in samples]) for name in values}
    return Metrics(**{name: Estimate(values[name], *interval(column)) for name, column in columns.items()})
