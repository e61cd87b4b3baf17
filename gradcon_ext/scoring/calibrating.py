"""Calibrates a detector on images of inliers that were used for nothing else, and selects outliers by p-values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gradcon_ext.data.images import Images
from gradcon_ext.detector.calibration import RATE, Calibration, checked_rate
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import losses_of, part_of
from gradcon_ext.scoring.image_scoring import scorer_of


def calibrated(
    detector: Detector,
    images: Images,
    part: str | None = None,
    rate: float | None = None,
    device: str | torch.device = "cpu",
    network: nn.Module | None = None,
) -> Detector:
    """Return a detector whose scores have p-values and verdicts too; see `gradcon_ext.detector.calibration`.

    Args:
        detector: a trained one; a balance, if it is to have one, comes first.
        images: inliers that were used neither for training nor to choose anything, as `scorer_of(detector).score`
            takes them.
        part: of the score, decides; that of the detector by default.
        rate: stated false-alarm rate, above 0 and below 1. By default 0.01, or the smallest that so few images allow,
            1 / (n + 1), if that is larger. At a stated rate below that, nothing is an outlier.
        device: to score on.
        network: of a detector of feature maps; see `scorer_of`.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images, no such part, a rate that is none, or scores that are not finite.
    """
    part = detector.part if part is None else part
    scores = scorer_of(replace(detector, part=part, calibration=None), device, network=network).score(images)
    # A part may be zero in all of these, and decide all the same.
    columns = {**losses_of(scores), part: part_of(scores, part)}
    for name, column in columns.items():
        if not column.isfinite().all():
            raise ValueError(f"the {name} part of the score of a calibration image is not finite")
    ordered = {name: np.sort(column.numpy()) for name, column in columns.items()}
    calibration = Calibration(RATE, ordered)
    stated = max(RATE, calibration.least_rate) if rate is None else checked_rate(rate)
    return replace(detector, part=part, calibration=calibration.at(stated))


def select(p_values: npt.ArrayLike, rate: float) -> npt.NDArray[np.bool_]:
    """Select outliers among many images, so that few of those selected are inliers (Benjamini and Hochberg, 1995).

    The expected share of inliers among the selected, the false-discovery rate, is at most `rate`, also of p-values that
    share their calibration images (Bates, Candes, Lei, Romano and Sesia, 2023, Testing for outliers with conformal
    p-values, theorem 2). With few calibration images no p-value may be small enough: of N images, k are selected only
    where k p-values are at most k / N times the rate.

    Args:
        p_values: of all images that are looked at together, (N,).
        rate: false-discovery rate, above 0 and below 1.

    Returns:
        (N,), true for the outliers.

    Raises:
        ValueError: p-values that are not from 0 to 1, or a rate that is none.
    """
    from scipy.stats import false_discovery_control  # slow to import, and needed here alone

    if not 0 < rate < 1:
        raise ValueError(f"a false-discovery rate must be above 0 and below 1, got {rate}")
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p-values have shape {values.shape}; expected (N,)")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values must be numbers from 0 to 1")
    adjusted = false_discovery_control(values, method="bh") if len(values) else values
    return np.asarray(adjusted <= rate)
