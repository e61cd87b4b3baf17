"""What the commands say of a calibration."""

from __future__ import annotations

from gradcon_ext.detector.calibration import RATE, Calibration


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
