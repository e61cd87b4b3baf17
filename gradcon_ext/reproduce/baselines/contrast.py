"""The normalisation of images that Ruff et al. (2018, section 4) put before every method."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import ImageArray

FloatImages: TypeAlias = npt.NDArray[np.float64]


def contrast_normalised(train: ImageArray, test: ImageArray) -> tuple[FloatImages, FloatImages]:
    """Normalise the contrast of each image by its L1 norm, then scale all so that `train` spans 0 to 1.

    Args:
        train: uint8 (N, C, H, W).
        test: uint8 (M, C, H, W); its pixels may come to lie outside 0 to 1.

    Returns:
        Both, float64 of the same shapes.

    Raises:
        ValueError: no training image has any contrast.
    """
    learned, scored = _global_contrast(train), _global_contrast(test)
    low, high = learned.min(), learned.max()
    if low == high:
        raise ValueError(f"each of {len(train)} training images is of a single value; expected some contrast")
    return (learned - low) / (high - low), (scored - low) / (high - low)


def _global_contrast(images: ImageArray) -> FloatImages:
    """Bring each image, all its channels together, to mean 0 and mean absolute value 1; a constant one to 0."""
    pixels: FloatImages = images - images.mean((1, 2, 3), keepdims=True)
    norm = np.abs(pixels).mean((1, 2, 3), keepdims=True)
    return pixels / np.where(norm > 0, norm, 1)
