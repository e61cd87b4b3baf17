"""The range of values that images of more than 8 bits are read in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from PIL import Image

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import decode, read_header
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import BYTES

Values: TypeAlias = tuple[int, float, float]
"""Bits a channel (up to 8, 16 or 32), least and greatest value of an image."""

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
    return range_of_values(list(values_of(files, max_pixels, workers)))


def range_of_values(values: Sequence[Values], counted: Iterable[int] | None = None) -> tuple[float, float] | None:
    """The same of what is known of images.

    Args:
        values: of all of them.
        counted: numbers of those whose values make the range, at least one; of all by default. Whether images of
            several kinds are mixed is seen by all.
    """
    kinds = {max(bits, _BYTES) for bits, _, _ in values}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind == _BYTES:
        return BYTES
    some = values if counted is None else [values[number] for number in counted]
    least, greatest = min(low for _, low, _ in some), max(high for _, _, high in some)
    if kind == _WORDS:
        return 0.0, float(next(2**depth - 1 for depth in _DEPTHS if greatest < 2**depth))
    return (0.0, 1.0) if least >= 0 and greatest <= 1 else (least, greatest if greatest > least else least + 1)


def values_of(
    files: Iterable[ImageFile], max_pixels: int | None = None, workers: int | None = None
) -> Iterator[Values]:
    """Yield what `range_of_values` takes of each file that can be read; the arguments are those of `range_of`."""
    found = in_order(partial(_value_of, max_pixels=max_pixels), files, workers)
    return (values for values in found if values is not None)


def _value_of(file: ImageFile, max_pixels: int | None) -> Values | None:
    try:
        bits = read_header(file.path, max_pixels, file.frame).bits
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
