"""Which images of a folder are learned from, and which are held out for what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

SHARE = 0.1
"""Of all images, that is held out for one purpose."""

_CALIBRATION_OF_ONE_PERCENT = 99
"""Images, the fewest that allow a false-alarm rate of 1 %; a folder may give up to twice the usual share for them."""


class HeldOut(NamedTuple):
    """Indices of images, each of which is in one of the three; ascending.

    Attributes:
        train: to learn from.
        validation: to choose by.
        calibration: for p-values and verdicts, and nothing else.
    """

    train: Indices
    validation: Indices
    calibration: Indices


def held_out(count: int, seed: int, validation: bool = True, calibration: bool = True, share: float = SHARE) -> HeldOut:
    """Split images into three, at random.

    10 % are held out for validation, or another share, at least one. For calibration it is 10 % too, or up to 20 %
    where fewer than the 99 that allow a false-alarm rate of 1 % would be held out; none of two images, and otherwise at
    least one.

    Args:
        count: of all images.
        seed: decides which are held out.
        validation: whether some are to be held out for validation; as many and the same whatever `calibration` is.
        calibration: likewise.
        share: of validation, above 0 and below 1.

    Raises:
        ValueError: there are too few images to hold out any for validation, or none is left; or a share that is none.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share of images to hold out must be above 0 and below 1, got {share}")
    if count < 1 + validation:
        raise ValueError(f"there are {count} images; expected at least {1 + validation}")
    validated = max(1, round(share * count)) if validation else 0
    if validated == count:
        raise ValueError(f"a share of {share} of {count} images leaves none to learn from")
    calibrated = min(_calibrated(count), count - validated - 1) if calibration else 0
    order = np.random.default_rng(seed).permutation(count)
    first, second, rest = np.split(order, [validated, validated + calibrated])
    return HeldOut(np.sort(rest), np.sort(first), np.sort(second))


def _calibrated(count: int) -> int:
    most = round(2 * SHARE * count)
    return max(1, round(SHARE * count), min(_CALIBRATION_OF_ONE_PERCENT, most))
