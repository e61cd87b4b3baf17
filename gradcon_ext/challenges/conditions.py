"""The conditions by name, and their application to a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcon_ext.challenges.blur import gaussian_blur, lens_blur
from gradcon_ext.challenges.camera import codec_error, decolorization, dirty_lens, noise
from gradcon_ext.challenges.light import darkening, exposure, shadow
from gradcon_ext.challenges.pixels import Pixels
from gradcon_ext.challenges.weather import haze, rain, snow
from gradcon_ext.data.labelled import ImageArray

_CONDITIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "decolorization": decolorization,
    "lens-blur": lens_blur,
    "codec-error": codec_error,
    "darkening": darkening,
    "dirty-lens": dirty_lens,
    "exposure": exposure,
    "gaussian-blur": gaussian_blur,
    "noise": noise,
    "rain": rain,
    "shadow": shadow,
    "snow": snow,
    "haze": haze,
}

CHALLENGES = tuple(_CONDITIONS)
"""Names of the conditions, in the order of CURE-TSR."""

LEVELS = (1, 2, 3, 4, 5)
"""From hardly noticeable to severe."""

_SMALLEST_SIDE = 8


def challenge(images: ImageArray, name: str, level: int, seed: int = 0) -> ImageArray:
    """Put images under one of the challenging conditions of CURE-TSR.

    The conditions are modelled anew and look like those of the data set, but are not the same pixel by pixel. What is
    random depends on the seed and on the index of an image alone; at all levels it is the same (rain begins with the
    drops of the level below), so that images at two levels differ by severity only. Images of one channel have no
    colour, and "decolorization" leaves them as they are; on images of 8 pixels, the mildest blurs are less than a pixel
    wide and change nothing.

    Source of the conditions: Temel, Kwon, Prabhushankar and AlRegib (2017), CURE-TSR: Challenging Unreal and Real
    Environments for Traffic Sign Recognition.

    Args:
        images: uint8 (N, C, H, W) with C 1 or 3 (red, green, blue), and H and W at least 8.
        name: one of `CHALLENGES`.
        level: one of `LEVELS`; 5 is the most severe.
        seed: not negative.

    Returns:
        New images of the same shape, uint8.

    Raises:
        TypeError: another dtype than uint8.
        ValueError: an unknown name or level, a wrong shape, or a negative seed.
    """
    if name not in _CONDITIONS:
        raise ValueError(f"there is no challenge {name!r}; expected one of {', '.join(CHALLENGES)}")
    if not isinstance(level, int) or level not in LEVELS:
        raise ValueError(f"level must be from {LEVELS[0]} to {LEVELS[-1]}, got {level!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    _check(images)
    challenged = np.empty_like(images)
    for index, image in enumerate(images):
        pixels = _CONDITIONS[name](image / 255, level, np.random.default_rng((seed, index)))
        challenged[index] = np.rint(np.clip(pixels, 0, 1) * 255)
    return challenged


def _check(images: ImageArray) -> None:
    if images.dtype != np.uint8:
        raise TypeError(f"images have dtype {images.dtype}; expected uint8")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < _SMALLEST_SIDE:
        raise ValueError(
            f"images have shape {images.shape}; expected (N, C, H, W) with C 1 or 3, H and W {_SMALLEST_SIDE} or more"
        )
