"""Blur of the lens (a disc) and of Gaussian shape, in proportion to the size of the image."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcon_ext.challenges.convolution import convolve, disc, gaussian
from gradcon_ext.challenges.pixels import Pixels

# By level, as shares of the shorter side.
_DISC_RADIUS = (0.03, 0.05, 0.075, 0.105, 0.14)
_GAUSSIAN_SIGMA = (0.02, 0.035, 0.05, 0.07, 0.1)

_REACH_IN_SIGMAS = 3


def lens_blur(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Spread each point over a disc, as a lens out of focus does."""
    radius = _DISC_RADIUS[level - 1] * min(image.shape[1:])
    return _blurred(image, disc, radius, math.ceil(radius + 0.5))


def gaussian_blur(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Spread each point over a Gaussian bell."""
    sigma = _GAUSSIAN_SIGMA[level - 1] * min(image.shape[1:])
    return _blurred(image, gaussian, sigma, math.ceil(_REACH_IN_SIGMAS * sigma))


def _blurred(image: Pixels, shape: Callable[[int, int, float], Pixels], width: float, reach: int) -> Pixels:
    """Convolve with a kernel of sum 1; beyond its borders the image is taken for mirrored."""
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    kernel = shape(padded.shape[1], padded.shape[2], width)
    return convolve(padded, kernel / kernel.sum())[:, reach:-reach, reach:-reach]
