"""Rows of numbers as what an autoencoder takes: images, or rows of standardised features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from gradcon_ext.data.image_dataset import Shape
from gradcon_ext.data.whole_numbers import is_whole

Array: TypeAlias = npt.NDArray[Any]

_CHANNELS_OF_FLAT = 1


@dataclass(frozen=True)
class Inputs:
    """How rows become inputs: reshaped, less `center`, over `scale`. Values beyond those of training are not clipped.

    Attributes:
        shape: (C, H, W) of an input.
        center: what becomes 0; of all pixels, or of each feature, (C, 1, 1).
        scale: what becomes 1 less that.
    """

    shape: Shape
    center: Array
    scale: Array

    @classmethod
    def of_images(cls, rows: Array, shape: Shape) -> Inputs:
        """Pixels: bytes from 0 to 255, floating point from 0 to 1, or else from the least to the greatest of `rows`."""
        least, greatest = float(rows.min()), float(rows.max())
        if rows.dtype == np.uint8:
            least, greatest = 0.0, 255.0
        elif least >= 0 and greatest <= 1:
            least, greatest = 0.0, 1.0
        return cls(shape, np.array(least), np.array(greatest - least or 1.0))

    @classmethod
    def of_features(cls, rows: Array) -> Inputs:
        """Features, each standardised by its mean and deviation in `rows` (N, F)."""
        scaler = StandardScaler().fit(rows)
        shape = (rows.shape[1], 1, 1)
        return cls(shape, scaler.mean_.reshape(shape), scaler.scale_.reshape(shape))

    def __call__(self, rows: Array) -> Array:
        """Return rows (N, F) as inputs (N, C, H, W), float32, or bytes where these stand for themselves."""
        images = rows.reshape(-1, *self.shape)
        if rows.dtype == np.uint8 and np.array_equal(self.center, 0) and np.array_equal(self.scale, 255):
            return images
        return np.asarray((images - self.center) / self.scale, dtype=np.float32)


def image_shape_of(stated: tuple[int, ...] | None, found: tuple[int, ...] | None) -> Shape | None:
    """Return the shape (C, H, W) of images; None where rows are no images.

    Args:
        stated: by the user, (C, H, W) or, of grey images, (H, W).
        found: that of the images in an array (N, C, H, W) or (N, H, W); None of rows.

    Raises:
        ValueError: a shape that is none, or two that differ.
    """
    shapes = {_with_channels(shape) for shape in (stated, found) if shape is not None}
    if len(shapes) > 1:
        raise ValueError(f"images have shape (C, H, W) = {_with_channels(found or ())}; image_shape is {stated}")
    return next(iter(shapes), None)


def check_size(rows: Array, shape: Shape) -> None:
    """Raise ValueError unless rows (N, F) hold images of a shape."""
    if rows.shape[1] != prod(shape):
        raise ValueError(f"rows have {rows.shape[1]} features; images of image_shape {shape} have {prod(shape)}")


def _with_channels(shape: tuple[int, ...]) -> Shape:
    if len(shape) not in (2, 3) or not all(is_whole(side, 1) for side in shape):
        raise ValueError(f"image_shape must be (C, H, W) or (H, W) in positive integers, got {shape!r}")
    channels, height, width = (_CHANNELS_OF_FLAT, *shape)[-3:]
    return int(channels), int(height), int(width)
