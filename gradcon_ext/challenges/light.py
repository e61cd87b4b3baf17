"""Too little light, too much of it, and a shadow."""

from __future__ import annotations

import math

import numpy as np

from gradcon_ext.challenges.pixels import Pixels, mix

# By level.
_DARK_GAIN_AND_GAMMA = ((0.8, 1.1), (0.6, 1.25), (0.45, 1.4), (0.3, 1.6), (0.18, 1.8))
_EXPOSURE_GAIN = (1.4, 2.0, 2.8, 4.0, 6.0)
_SHADOW_DEPTH = (0.3, 0.45, 0.6, 0.75, 0.9)

_SHADOW_EDGE = 0.05  # how soft, as a share of the shorter side
_SHADOW_OFFSET = 0.15  # how far the edge may lie from the centre, likewise


def darkening(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Lower the light, and that of dark places more, by a gamma above 1."""
    gain, gamma = _DARK_GAIN_AND_GAMMA[level - 1]
    return gain * image**gamma


def exposure(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Expose for too long: what becomes brighter than white is clipped."""
    return np.minimum(_EXPOSURE_GAIN[level - 1] * image, 1)


def shadow(image: Pixels, level: int, draw: np.random.Generator) -> Pixels:
    """Darken one side of a line of any direction that passes near the centre."""
    height, width = image.shape[1:]
    side = min(height, width)
    angle = draw.uniform(0, 2 * math.pi)
    offset = draw.uniform(-_SHADOW_OFFSET, _SHADOW_OFFSET) * side
    down = np.arange(height)[:, None] - (height - 1) / 2
    right = np.arange(width)[None] - (width - 1) / 2
    distance = down * math.cos(angle) + right * math.sin(angle) - offset
    shaded = (1 + np.tanh(distance / (_SHADOW_EDGE * side))) / 2
    return mix(image, 0.0, _SHADOW_DEPTH[level - 1] * shaded)
