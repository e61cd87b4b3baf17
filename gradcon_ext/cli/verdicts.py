"""What the commands ask of a calibration, and say of it."""

from __future__ import annotations

import sys
from dataclasses import replace

from gradcon_ext.detector.calibration import RATE, Calibration
from gradcon_ext.detector.detector import Detector


def judging(detector: Detector, part: str | None, rate: float | None, fdr: float | None = None) -> Detector:
    """Return a detector that judges by another part or at another rate; says what it cannot do on standard error.

    Args:
        detector: calibrated, or nothing else may be given.
        part: decides, by default that of the detector.
        rate: stated false-alarm rate, likewise.
        fdr: false-discovery rate that is to be the verdict's instead.

    Raises:
        ValueError: the detector was not calibrated, or not by that part.
    """
    calibration = detector.calibration
    if calibration is None:
        if part is not None or rate is not None or fdr is not None:
            raise ValueError(f"the detector {_NOT_CALIBRATED}, and --by, --false-alarms and --fdr need one")
        print(f"The detector {_NOT_CALIBRATED}: no p-values and no verdicts.", file=sys.stderr)
        return detector
    calibration = calibration.at(rate)
    part = part or detector.part
    if part not in calibration.scores:
        raise ValueError(f"--by {part}: the detector is calibrated by {', '.join(calibration.scores)}")
    if fdr is None and calibration.rate < calibration.least_rate:
        print(f"Warning: {describe(calibration)}", file=sys.stderr)
    return replace(detector, part=part, calibration=calibration)


_NOT_CALIBRATED = "holds no calibration (`gradcon train --images`, or --calibrate, makes one)"


def describe(calibration: Calibration) -> str:
    """Say the false-alarm rate, and the smallest that the number of calibration images allows."""
    images = "1 image" if calibration.count == 1 else f"{calibration.count} images"
    stated, least = map(percent, (calibration.rate, calibration.least_rate))
    text = f"Verdicts: calibrated on {images} for a false-alarm rate of {stated}; so many allow {least} at least."
    if calibration.rate < calibration.least_rate:
        return f"{text} At {stated} nothing is an outlier: take more images, or another --false-alarms."
    if calibration.least_rate > RATE:
        return f"{text} {percent(RATE)} needs {round(1 / RATE) - 1} of them."
    return text


def percent(share: float) -> str:
    """A share as a percentage, to two digits."""
    return f"{100 * share:.2g} %"
