"""Kernels of any shape, and their convolution with images by the Fourier transform."""

from __future__ import annotations

import math

import numpy as np

from gradcon_ext.challenges.pixels import Pixels


def disc(height: int, width: int, radius: float) -> Pixels:
    """A disc with an edge one pixel soft, (H, W), centred on the first pixel and wrapped around the borders."""
    down, right = _offsets(height, width)
    return np.clip(radius + 0.5 - np.hypot(down, right), 0, 1)


def gaussian(height: int, width: int, sigma: float) -> Pixels:
    """A Gaussian bell with a peak of 1, (H, W), centred as `disc` is."""
    down, right = _offsets(height, width)
    return np.exp(-(down**2 + right**2) / (2 * sigma**2))


def streak(height: int, width: int, length: float, thickness: float, angle: float) -> Pixels:
    """A line with edges one pixel soft, (H, W), centred as `disc` is; `angle` is radians from the vertical."""
    down, right = _offsets(height, width)
    along = down * math.cos(angle) + right * math.sin(angle)
    across = right * math.cos(angle) - down * math.sin(angle)
    beyond_the_end = np.maximum(np.abs(along) - length / 2, 0)
    return np.clip(thickness / 2 + 0.5 - np.hypot(across, beyond_the_end), 0, 1)


def convolve(image: Pixels, kernel: Pixels) -> Pixels:
    """Convolve an image (..., H, W) that goes on beyond its borders from the other side with a kernel (H, W)."""
    size = kernel.shape
    spectrum = np.fft.rfft2(image) * np.fft.rfft2(kernel)
    return np.fft.irfft2(spectrum, s=size, axes=(-2, -1))


def scatter(kernel: Pixels, count: int, draw: np.random.Generator) -> Pixels:
    """Put `count` copies of a kernel at random places; values (H, W) in [0, 1].

    Equal generators put the first copies at equal places, however many there are.
    """
    height, width = kernel.shape
    places = (draw.random((count, 2)) * (height, width)).astype(np.intp)
    points = np.zeros((height, width))
    np.add.at(points, tuple(places.T), 1)
    return np.clip(convolve(points, kernel), 0, 1)


def _offsets(height: int, width: int) -> tuple[Pixels, Pixels]:
    """Signed distances of all pixels from the first one, the shorter way round: (H, 1) down and (1, W) right."""
    return _ring(height)[:, None], _ring(width)[None]


def _ring(length: int) -> Pixels:
    half = length // 2
    return ((np.arange(length) + half) % length - half).astype(np.float64)
