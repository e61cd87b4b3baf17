"""Bodies as arrays of images: raw bytes with a shape, or an .npy file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import Decoded
from gradcon_ext.data.reading.preparation import BYTES, Preparation
from gradcon_ext.serving.files import PreparedImage, as_file
from gradcon_ext.serving.refusal import Refusal
from gradcon_ext.storage.pixels import check_channels, check_layout, unfit_pixels

NPY_START = b"\x93NUMPY"
_SHAPE = re.compile(r"[0-9]{1,9}([,x][0-9]{1,9}){2,3}")


def shape_of(text: str) -> tuple[int, ...]:
    """Parse a shape such as 64,3,28,28 or 64x28x28.

    Raises:
        Refusal: it is none.
    """
    if not _SHAPE.fullmatch(text):
        raise Refusal(422, f"The shape is {text[:40]!r}; expected numbers N,C,H,W or N,H,W.")
    return tuple(map(int, re.split("[,x]", text)))


def raw_array(body: bytes, shape: Sequence[int]) -> Array:
    """Take bytes as uint8 of a shape.

    Raises:
        Refusal: there are more or fewer of them.
    """
    if len(body) != math.prod(shape):
        raise Refusal(422, f"The body has {len(body)} bytes; the shape {tuple(shape)} has {math.prod(shape)}.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def npy_array(body: bytes) -> Array:
    """Take an .npy file; nothing in it is run.

    Raises:
        Refusal: it is damaged, or holds objects.
    """
    with as_file(body) as path:
        try:
            return np.array(np.lib.format.open_memmap(path, mode="r"), order="C")
        except Exception as error:  # a damaged header is parsed as Python, and fails in many ways
            raise Refusal(422, "The body cannot be read as an .npy array of numbers.") from error


def prepared_arrays(array: Array, preparation: Preparation) -> list[PreparedImage]:
    """Prepare images as `gradcon score` prepares those of an array.

    Integers are prepared as image files are; floating point has to be prepared already, from 0 to 1.

    Args:
        array: (N, C, H, W) or (N, H, W).
        preparation: of the detector.

    Raises:
        Refusal: 422, another shape, dtype or range.
    """
    assert preparation.size is not None  # `ServedDetector` takes no other
    try:
        check_layout(array.shape)
        images = array if array.ndim == 4 else array[:, None]
        check_channels(images.shape[1:], (preparation.channels, *preparation.size))
        if images.dtype.kind == "f" and images.dtype.itemsize <= 8:
            return _of_floats(images, preparation.size)
        if images.dtype.kind != "u" or images.dtype.itemsize > 2:
            raise ValueError(f"images of dtype {images.dtype}; expected uint8, uint16 or floating point from 0 to 1")
        return _of_integers(images.astype(images.dtype.newbyteorder("="), copy=False), preparation)
    except ValueError as error:
        raise Refusal(422, f"The array cannot be scored: {error}.") from error


def _of_integers(images: Array, preparation: Preparation) -> list[PreparedImage]:
    if images.dtype == np.uint8 and images.shape[2:] == preparation.size and preparation.range in (None, BYTES):
        return [PreparedImage(image) for image in images]
    bits = 8 * images.dtype.itemsize
    return [PreparedImage(*preparation.prepare(Decoded(image, "npy", str(image.dtype), bits))) for image in images]


def _of_floats(images: Array, size: tuple[int, int]) -> list[PreparedImage]:
    if images.shape[2:] != size:
        raise ValueError(f"floating-point images of {images.shape[2:]} pixels; expected {size}")
    pixels = images.astype(np.float32)
    for index, image in enumerate(pixels):
        least, greatest = float(image.min()), float(image.max())
        if not 0 <= least <= greatest <= 1:
            raise unfit_pixels(index, least, greatest)
    return [PreparedImage(image) for image in pixels]
