"""The range of values that images of more than 8 bits are read in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from PIL import Image

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import decode, read_header
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import BYTES

_DEPTHS = (10, 12, 14, 16)
_BYTES, _WORDS, _FLOATS = 8, 16, 32


def range_of(
    files: Iterable[ImageFile], max_pixels: int | None = None, workers: int | None = None
) -> tuple[float, float] | None:
    """Find the range of values that images use; files that cannot be read are passed over.

    Of 8 bits it is 0 to 255. Of 16 it is that of the fewest of 10, 12, 14 and 16 bits that hold all values, since
    cameras of 10 and 12 bits write files of 16. Of floating point it is 0 to 1 where that holds all values, and
    from the least to the greatest value otherwise.

    Args:
        files: of the images. Only those of more than 8 bits are decoded.
        max_pixels: more are not decoded.
        workers: threads.

    Returns:
        The range, or None where images of several kinds are mixed, each of which has its own full scale.
    """
    return range_of_values(_values(files, max_pixels, workers))


def range_of_values(values: Iterable[tuple[int, float, float]]) -> tuple[float, float] | None:
    """The same of bits (up to 8, 16 or 32), least and greatest value of each image."""
    kinds, least, greatest = set(), np.inf, -np.inf
    for bits, low, high in values:
        kinds.add(max(bits, _BYTES))
        least, greatest = min(least, low), max(greatest, high)
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind == _BYTES:
        return BYTES
    if kind == _WORDS:
        return 0.0, float(next(2**depth - 1 for depth in _DEPTHS if greatest < 2**depth))
    return (0.0, 1.0) if least >= 0 and greatest <= 1 else (least, greatest if greatest > least else least + 1)


def _values(
    files: Iterable[ImageFile], max_pixels: int | None, workers: int | None
) -> Iterator[tuple[int, float, float]]:
    found = in_order(partial(_value_of, max_pixels=max_pixels), files, workers)
    return (values for values in found if values is not None)


def _value_of(file: ImageFile, max_pixels: int | None) -> tuple[int, float, float] | None:
    try:
        bits = read_header(file.path, max_pixels).bits
        if bits <= _BYTES:
            return bits, *BYTES
        pixels = decode(file.path, file.frame, max_pixels=max_pixels).pixels
    except UnreadableImage:
        return None
    return bits, *extrema(pixels)


def extrema(pixels: Image.Image | Array) -> tuple[float, float]:
    """Return the least and the greatest value of the colours of a decoded image, opacity left out."""
    if isinstance(pixels, Image.Image):
        bounds = np.array(pixels.getextrema(), dtype=float).reshape(-1, 2)
        bounds = bounds[:-1] if pixels.mode in ("LA", "RGBA") else bounds
        return float(bounds[:, 0].min()), float(bounds[:, 1].max())
    colours = pixels[:-1] if len(pixels) in (2, 4) else pixels
    return float(colours.min()), float(colours.max())
