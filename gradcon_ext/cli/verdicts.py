"""What the commands ask of a calibration, and say of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context

from gradcon_ext.detector.calibration import RATE, Calibration
from gradcon_ext.detector.detector import Detector

_DIGITS = 12
"""Of a share, of which floating point holds a few more that are not exact."""


def judging(detector: Detector, part: str | None, rate: float | None, fdr: float | None = None) -> Detector:
    """Return a detector that judges by another part or at another rate.

    Args:
        detector: calibrated, or nothing else may be given.
        part: decides, by default that of the detector.
        rate: stated false-alarm rate, likewise.
        fdr: false-discovery rate that is to be the verdict's instead.

    Raises:
        ValueError: the detector was not calibrated, or not by that part.
    """
    calibration, part = detector.calibration, part or detector.part
    if calibration is None:
        if part != detector.part or rate is not None or fdr is not None:
            raise ValueError(f"{_NOT_CALIBRATED}, and --by, --false-alarms and --fdr need one")
        return detector
    if part not in calibration.scores:
        raise ValueError(f"--by {part}: the detector is calibrated by {', '.join(calibration.scores)}")
    return replace(detector, part=part, calibration=calibration.at(rate))


def remark(calibration: Calibration | None, fdr: float | None = None) -> str | None:
    """Say what a calibration cannot do; None if there is nothing to say.

    Args:
        calibration: of a detector, if it has one.
        fdr: false-discovery rate of the verdicts, if it is not the calibration's rate that decides.
    """
    if calibration is None:
        return f"{_NOT_CALIBRATED}: no p-values and no verdicts."
    if fdr is not None and fdr < calibration.least_rate:
        stated, least = _with_least(fdr, calibration.least_rate)
        return (
            f"Warning: no p-value of {calibration.count} calibration images is below {least}: "
            f"at a false-discovery rate of {stated} nothing is an outlier."
        )
    if fdr is None and calibration.rate < calibration.least_rate:
        return f"Warning: {describe(calibration)}"
    return None


_NOT_CALIBRATED = "The detector holds no calibration (`gradcon train --images`, or --calibrate, makes one)"


def describe(calibration: Calibration) -> str:
    """Say the false-alarm rate, and the smallest that the number of calibration images allows."""
    images = "1 image" if calibration.count == 1 else f"{calibration.count} images"
    stated, least = _with_least(calibration.rate, calibration.least_rate)
    text = f"Verdicts: calibrated on {images} for a false-alarm rate of {stated}; so many allow {least} at least."
    if calibration.rate < calibration.least_rate:
        return f"{text} At {stated} nothing is an outlier: take more images, or another --false-alarms."
    if calibration.least_rate > RATE:
        return f"{text} {percent(RATE)} needs {round(1 / RATE) - 1} of them."
    return text


def _with_least(rate: float, least: float) -> tuple[str, str]:
    """A rate and the least one as percentages; for a rate that is too small, the least is rounded up, which will do."""
    if rate >= least:
        return percent(rate), percent(least)
    for digits in range(2, _DIGITS + 1):
        stated, allowed = percent(rate, digits), percent(least, digits, ROUND_CEILING)
        if stated != allowed:
            break
    return stated, allowed


def percent(share: float, digits: int = 2, rounding: str = ROUND_HALF_EVEN) -> str:
    """A share as a percentage, to so many digits and without an exponent."""
    number = Context(digits, rounding).create_decimal(f"{100 * share:.{_DIGITS}g}")
    return f"{number.normalize():f} %"
