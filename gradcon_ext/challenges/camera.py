"""Defects of the camera and of what comes after it: lost colour, a bad codec, dirt on the lens, and noise."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gradcon_ext.challenges.convolution import gaussian, scatter
from gradcon_ext.challenges.pixels import Pixels, mix

# By level.
_LOST_COLOUR = (0.2, 0.4, 0.6, 0.8, 1.0)
_JPEG_QUALITY = (75, 45, 22, 10, 3)
_DIRT_SPOTS_AND_OPACITY = ((3, 0.5), (5, 0.65), (8, 0.75), (12, 0.85), (18, 0.95))
_NOISE_SIGMA = (0.04, 0.08, 0.14, 0.22, 0.32)

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_DIRT_COLOUR = 0.35
_DIRT_SIGMA = 0.09  # of a spot, as a share of the shorter side


def decolorization(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Mix towards grey of the same luma. Images of one channel have no colour to lose and stay as they are."""
    if len(image) == 1:
        return image
    return mix(image, np.tensordot(_LUMA, image, 1), _LOST_COLOUR[level - 1])


def codec_error(image: Pixels, level: int, _: np.random.Generator) -> Pixels:
    """Compress as JPEG, of which the blocks measure 8 pixels (16 for colour) in images of any size."""
    pixels = np.rint(image * 255).astype(np.uint8)
    planes = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(planes).save(file, "JPEG", quality=_JPEG_QUALITY[level - 1])
    with Image.open(file) as decoded:
        return np.asarray(decoded).reshape(*image.shape[1:], -1).transpose(2, 0, 1) / 255


def dirty_lens(image: Pixels, level: int, draw: np.random.Generator) -> Pixels:
    """Veil by grey spots, blurred since the lens is never in focus itself."""
    spots, opacity = _DIRT_SPOTS_AND_OPACITY[level - 1]
    height, width = image.shape[1:]
    spot = gaussian(height, width, _DIRT_SIGMA * min(height, width))
    return mix(image, _DIRT_COLOUR, opacity * scatter(spot, spots, draw))


def noise(image: Pixels, level: int, draw: np.random.Generator) -> Pixels:
    """Add Gaussian noise to each channel on its own."""
    return image + _NOISE_SIGMA[level - 1] * draw.standard_normal(image.shape)
