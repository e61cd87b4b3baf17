"""Rain, snow and haze, in proportion to the size of the image."""

from __future__ import annotations

import math

import numpy as np

from gradcon_ext.challenges.convolution import gaussian, scatter, streak
from gradcon_ext.challenges.pixels import Pixels, mix

# By level. Drops and flakes are counted in a square image.
_RAIN_DROPS_LENGTH_AND_OPACITY = ((10, 0.2, 0.4), (18, 0.24, 0.5), (28, 0.28, 0.6), (42, 0.32, 0.7), (60, 0.36, 0.8))
_SNOW_FLAKES_AND_VEIL = ((8, 0.05), (18, 0.1), (32, 0.16), (50, 0.24), (75, 0.34))
_HAZE_SCATTERING = (0.3, 0.6, 1.0, 1.5, 2.3)

# Lengths are shares of the shorter side, and brightness is from 0 to 1.
_RAIN_THICKNESS = 0.02
_RAIN_SLANT = math.radians(15)
_RAIN_BRIGHTNESS = 0.85
_SNOW_SIGMAS = (0.015, 0.03)
_AIRLIGHT = 0.9
_HAZE_DEPTHS = (1.25, 0.75)  # at the top of the image and at its bottom


def rain(image: Pixels, level: int, draw: np.random.Generator) -> Pixels:
    """Draw drops as slanted streaks, the way they move while the shutter is open."""
    drops, length, opacity = _RAIN_DROPS_LENGTH_AND_OPACITY[level - 1]
    height, width = image.shape[1:]
    side = min(height, width)
    shape = streak(height, width, length * side, _RAIN_THICKNESS * side, _RAIN_SLANT)
    return mix(image, _RAIN_BRIGHTNESS, opacity * scatter(shape, _count(drops, image), draw))


def snow(image: Pixels, level: int, draw: np.random.Generator) -> Pixels:
    """Cover by soft white flakes, small and large, and by a veil of those too far away to be told apart."""
    flakes, veil = _SNOW_FLAKES_AND_VEIL[level - 1]
    height, width = image.shape[1:]
    snowy = mix(image, 1.0, veil)
    for sigma, each_draw in zip(_SNOW_SIGMAS, draw.spawn(len(_SNOW_SIGMAS)), strict=True):
        shape = gaussian(height, width, sigma * min(height, width))
        snowy = mix(snowy, 1.0, scatter(shape, _count(flakes / len(_SNOW_SIGMAS), image), each_draw))
    return snowy


def haze(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Scatter light on the way, more of it the farther away, which is higher up in the image.

    The atmospheric scattering model, I = J t + A (1 - t) with the transmission t = exp(-beta d) at depth d.
    Source: Narasimhan and Nayar (2002), Vision and the Atmosphere.
    """
    depth = np.linspace(*_HAZE_DEPTHS, image.shape[1])[:, None]
    transmission = np.exp(-_HAZE_SCATTERING[level - 1] * depth)
    return mix(image, _AIRLIGHT, 1 - transmission)


def _count(in_a_square: float, image: Pixels) -> int:
    """How many of as many things in a square fill an image of these proportions as densely."""
    _, height, width = image.shape
    proportion: float = max(height, width) / min(height, width)
    return round(in_a_square * proportion)
