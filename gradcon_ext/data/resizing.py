"""Resizing of arrays, a plane at a time.

The published code shrinks whole RGB images with Pillow's LANCZOS, which is the same as LANCZOS plane by plane; here
BILINEAR is the default. `gradcon reproduce study` sets one beside the other.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.labelled import ImageArray


def resize(images: ImageArray, size: Size, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> ImageArray:
    """Resize uint8 images (N, C, H, W) to `size`, one number for a square or (H, W).

    Each plane on its own through a filter of Pillow's, which is antialiased.

    Raises:
        TypeError: another dtype than uint8.
        ValueError: another number of dimensions, or a size that is not positive.
    """
    height, width = height_width(size)
    if images.dtype != np.uint8:
        raise TypeError(f"images have dtype {images.dtype}; expected uint8")
    if images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}; expected (N, C, H, W)")
    if images.shape[2:] == (height, width):
        return images
    resized = np.empty((*images.shape[:2], height, width), np.uint8)
    for index in np.ndindex(images.shape[:2]):
        plane = Image.fromarray(images[index])
        resized[index] = np.asarray(plane.resize((width, height), resampling))
    return resized
