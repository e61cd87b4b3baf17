"""An image as its file holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gradcon_ext.data.arrays import Array

LYING = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height."""


class UnreadableImage(ValueError):  # noqa: N818 - it says what has happened
    """A file that cannot be read as an image.

    Attributes:
        path: of the file.
        problem: why, without the path.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True)
class Decoded:
    """An image as its file holds it, upright.

    Attributes:
        pixels: an image of Pillow in mode L, RGB, LA or RGBA, or an array (C, H, W) of uint8, uint16 or float32, whose
            second or fourth channel is its opacity.
        format: of the file, such as "PNG".
        mode: of its pixels, as Pillow calls it, such as "RGB".
        bits: a channel has in the file: 1, 8, 16 or, for floating point, 32.
        frames: how many the file has.
        turned: whether EXIF said that it lies on its side or head.
    """

    pixels: Image.Image | Array
    format: str
    mode: str
    bits: int
    frames: int = 1
    turned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        if isinstance(self.pixels, Image.Image):
            return self.pixels.height, self.pixels.width
        return self.pixels.shape[1], self.pixels.shape[2]


def check_pixel_count(width: int, height: int, most: int | None) -> None:
    """Raise ValueError for an image, opened but not decoded yet, of more pixels than that.

    Pillow itself warns at `PIL.Image.MAX_IMAGE_PIXELS`, and refuses at twice as many; None is no limit.
    """
    if most is not None and width * height > most:
        raise ValueError(f"{width} times {height} pixels; expected {most} at most")


def turn_upright(pixels: Array, orientation: int) -> Array:
    """Turn (C, H, W) as EXIF's orientation from 1 to 8 says."""
    if orientation in LYING:
        pixels = pixels.transpose(0, 2, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def finite(pixels: Array) -> Array:
    """Return floating-point pixels, all of which have to be finite.

    Raises:
        ValueError: one is not.
    """
    if not np.isfinite(pixels).all():
        raise ValueError("NaN or infinite pixels")
    return pixels
