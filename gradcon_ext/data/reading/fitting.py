"""How an image comes to a height and a width."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from gradcon_ext.data.arrays import Array

Fit: TypeAlias = Literal["squash", "pad", "crop"]


class Placement(NamedTuple):
    """What part of an image is resized to what part of the result; in pixels.

    Attributes:
        box: left, upper, right and lower edge of what is taken.
        size: width and height that it is brought to.
        offset: from the left and from above, in the result.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    offset: tuple[int, int]


def placement(fit: Fit, source: tuple[int, int], target: tuple[int, int]) -> Placement:
    """Work out where an image goes; sizes are (width, height).

    "squash" resizes whatever the proportions; "pad" keeps them, centred, and leaves borders; "crop" keeps them and cuts
    off what is left over on both sides of the centre.
    """
    (width, height), (across, down) = source, target
    whole = (0.0, 0.0, float(width), float(height))
    if fit == "squash" or width * down == height * across:
        return Placement(whole, target, (0, 0))
    if fit == "pad":
        scale = min(across / width, down / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return Placement(whole, size, ((across - size[0]) // 2, (down - size[1]) // 2))
    scale = min(width / across, height / down)
    taken_width, taken_height = min(across * scale, width), min(down * scale, height)  # against rounding
    left, upper = (width - taken_width) / 2, (height - taken_height) / 2
    return Placement((left, upper, left + taken_width, upper + taken_height), target, (0, 0))


def fitted_image(image: Image.Image, fit: Fit, target: tuple[int, int], border: int | tuple[int, ...]) -> Image.Image:
    """Fit an image of Pillow to (width, height) by its bilinear filter, which is antialiased."""
    place = placement(fit, image.size, target)
    resized = image.resize(place.size, Image.Resampling.BILINEAR, box=place.box)
    if place.size == target:
        return resized
    canvas = Image.new(image.mode, target, border)
    canvas.paste(resized, place.offset)
    return canvas


def fitted_planes(planes: Array, fit: Fit, target: tuple[int, int], border: Array) -> Array:
    """Fit planes (C, H, W) of uint8 or float32, in that precision, to (width, height); the border is (C,)."""
    fitted = np.empty((len(planes), target[1], target[0]), planes.dtype)
    for index, plane in enumerate(planes):
        fitted[index] = np.asarray(fitted_image(Image.fromarray(plane), fit, target, border[index].item()))
    return fitted
