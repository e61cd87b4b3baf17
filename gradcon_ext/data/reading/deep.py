"""What Pillow cannot read at its full depth: colour of 16 bits, and rarer kinds of TIFF."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import Decoded, check_pixel_count, finite, turn_upright


def decode_deep_png(path: Path) -> Array:
    """Read a PNG of 16 bits, (C, H, W) in uint16."""
    pixels: Array = _extra("imagecodecs").png_decode(path.read_bytes())
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def decode_tiff(path: Path, frame: int, most: int | None) -> Decoded:
    """Read a page of a TIFF of grey or RGB, with or without opacity, of at most so many pixels.

    Raises:
        ValueError: other pixels than these, such as those of CMYK or complex numbers, or no such page.
    """
    with _extra("tifffile").TiffFile(path) as file:
        pages = len(file.pages)
        if frame >= pages:
            raise ValueError(f"there is no frame {frame}: it has {pages}, counted from 0")
        page = file.pages[frame]
        check_pixel_count(page.imagewidth, page.imagelength, most)
        tag = page.tags.get("Orientation")
        orientation = 1 if tag is None else int(tag.value)
        pixels = turn_upright(_channels(page), orientation)
    bits = 8 * pixels.dtype.itemsize
    mode = ("L", "LA", "RGB", "RGBA")[len(pixels) - 1]
    return Decoded(pixels, "TIFF", f"{mode};{bits}", bits, pages, orientation != 1)


def _channels(page: Any) -> Array:
    """Pixels (C, H, W) in uint8, uint16 or float32."""
    colours = {"MINISBLACK": 1, "RGB": 3}.get(page.photometric.name)
    further = [extra.name for extra in page.extrasamples]
    if colours is None or further not in ([], ["UNASSALPHA"], ["UNSPECIFIED"]):
        raise ValueError(f"{page.photometric.name} with {further}; expected grey or RGB, alone or with opacity")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"axes {page.axes}; expected rows and columns of pixels")
    pixels: Array = page.asarray()
    if page.axes != "SYX":
        pixels = np.atleast_3d(pixels).transpose(2, 0, 1)
    if len(pixels) != colours + len(further):
        raise ValueError(f"{len(pixels)} channels; expected {colours + len(further)}")
    pixels = pixels[:colours] if further == ["UNSPECIFIED"] else pixels
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize <= 8:
        return finite(pixels.astype(np.float32))
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(pixels.dtype.newbyteorder("="))
    raise ValueError(f"pixels of {pixels.dtype}; expected 8 or 16 bits, or floating point")


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"that takes {module}, which is not installed: pip install 'gradcon_ext[formats]'") from error
