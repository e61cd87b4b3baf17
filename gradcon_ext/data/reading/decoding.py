"""One file to pixels, at the bit depth that it has."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import LYING, Decoded, UnreadableImage, check_pixel_count, finite, turn_upright
from gradcon_ext.data.reading.deep import decode_deep_png, decode_tiff
from gradcon_ext.data.reading.opening import open_image
from gradcon_ext.data.reading.png_exif import png_exif

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE = 256, 257, 258
_PHOTOMETRIC = 262
_SAMPLE_FORMAT, _SIGNED = 339, 2
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode(
    path: Path, frame: int = 0, *, max_pixels: int | None = None, enough: tuple[int, int] | None = None
) -> Decoded:
    """Read one frame of a file.

    Pillow keeps 8 of the 16 bits of colour; such files, and kinds of TIFF that Pillow does not know, are read by
    imagecodecs and tifffile, which come with the extra `formats`.

    Args:
        path: of the file.
        frame: which frame, counted from 0.
        max_pixels: the most that are decoded; `PIL.Image.MAX_IMAGE_PIXELS` by default.
        enough: width and height from which on a JPEG may be decoded at a half, a quarter or an eighth of its own, which
            is faster and not quite the same as to shrink it.

    Raises:
        UnreadableImage: it is missing, empty, damaged, of an unknown format, or has too many pixels or no such frame.
    """
    try:
        _check_regular(path)
        try:
            file = open_image(path)
        except UnidentifiedImageError:
            if _start(path) not in TIFF_STARTS:
                raise
            return decode_tiff(path, frame, max_pixels or Image.MAX_IMAGE_PIXELS)
        with file:
            return _decode_open(file, path, frame, max_pixels or Image.MAX_IMAGE_PIXELS, enough)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise UnreadableImage(path, f"cannot be read as an image ({_problem(error)})") from error


class Header(NamedTuple):
    """What a file tells of one of its frames before it is decoded.

    Attributes:
        bits: a channel.
        frames: how many the file has.
        size: height and width, upright.
    """

    bits: int
    frames: int
    size: tuple[int, int]


def read_header(path: Path, max_pixels: int | None = None, frame: int = 0) -> Header:
    """Look at a frame of a file without decoding its pixels, but for kinds of TIFF that Pillow does not know.

    Raises:
        UnreadableImage: as `decode`.
    """
    try:
        _check_regular(path)
        with open_image(path) as file:
            frames = _go_to(file, frame)
            bits = 16 if _is_deep_colour(file) else bits_of(file.mode)
            return Header(bits, frames, _upright_size(file, path))
    except UnidentifiedImageError:
        decoded = decode(path, frame, max_pixels=max_pixels)
        return Header(decoded.bits, decoded.frames, decoded.size)
    except Exception as error:  # as in `decode`
        raise UnreadableImage(path, f"cannot be read as an image ({_problem(error)})") from error


def _go_to(file: ImageFile.ImageFile, frame: int) -> int:
    """Go to a frame, and return how many there are."""
    frames = getattr(file, "n_frames", 1)
    if frame:
        if frame >= frames:
            raise ValueError(f"there is no frame {frame}: it has {frames}, counted from 0")
        file.seek(frame)
    return frames


def _upright_size(file: ImageFile.ImageFile, path: Path) -> tuple[int, int]:
    exif = png_exif(path) if file.format == "PNG" else file.getexif()
    lies = exif.get(_ORIENTATION) in LYING
    # Of a TIFF, newer Pillows have exchanged them already.
    tags = getattr(file, "tag_v2", {})
    width, height = tags.get(_WIDTH, file.width), tags.get(_HEIGHT, file.height)
    return (width, height) if lies else (height, width)


def _decode_open(
    file: ImageFile.ImageFile, path: Path, frame: int, most: int | None, enough: tuple[int, int] | None
) -> Decoded:
    check_pixel_count(file.width, file.height, most)
    frames = _go_to(file, frame)
    check_pixel_count(file.width, file.height, most)
    _refuse_signed_bytes(file)
    is_deep = _is_deep_colour(file)  # before EXIF is asked for, which decodes a PNG
    orientation = file.getexif().get(_ORIENTATION, 1)
    if is_deep:
        return _decode_deep(file, path, frame, frames, orientation)
    format, mode = str(file.format), file.mode
    is_inverted = mode == "I;16" and getattr(file, "tag_v2", {}).get(_PHOTOMETRIC) == 0  # which Pillow overlooks
    if enough is not None:
        file.draft(None, enough)
    ImageOps.exif_transpose(file, in_place=True)
    pixels = native_pixels(file)
    if is_inverted and isinstance(pixels, np.ndarray):
        pixels = 65535 - pixels
    return Decoded(pixels, format, mode, bits_of(mode), frames, orientation != 1)


def _refuse_signed_bytes(file: ImageFile.ImageFile) -> None:
    """Raise ValueError for what Pillow reads as if it had no sign."""
    if file.mode == "L" and _SIGNED in getattr(file, "tag_v2", {}).get(_SAMPLE_FORMAT, ()):
        raise ValueError("pixels of int8; expected 8 or 16 bits without a sign, or floating point")


def _is_deep_colour(file: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow would keep 8."""
    if file.mode.startswith(("I", "F")):
        return False
    if file.format == "TIFF":
        return bool(max(getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))) > 8)
    for tile in file.tile:
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(arg, str) and ";16" in arg for arg in args):
            return True
        if file.format == "PPM" and len(args) > 1 and isinstance(args[1], int) and args[1] > 255:
            return True
    return False


def _decode_deep(file: ImageFile.ImageFile, path: Path, frame: int, frames: int, orientation: int) -> Decoded:
    if file.format == "TIFF":
        return decode_tiff(path, frame, None)  # the number of pixels was checked
    if file.format != "PNG" or frame:
        raise ValueError(f"16 bits a channel in colour, in {file.format}: save it as TIFF or PNG of one frame")
    pixels = turn_upright(decode_deep_png(path), orientation)
    return Decoded(pixels, "PNG", f"{'LA' if len(pixels) == 2 else file.mode};16", 16, frames, orientation != 1)


def native_pixels(image: Image.Image) -> Image.Image | Array:
    """Return pixels of any mode of Pillow as one of those of `Decoded`."""
    if image.mode == "F":
        return finite(np.asarray(image, np.float32))[None]
    if image.mode.startswith("I"):
        return _uint16(np.asarray(image))
    if image.mode == "LAB":
        image = image.convert("RGB")
    if image.mode in ("P", "PA", "RGBa", "La") or ("transparency" in image.info and image.mode in ("1", "L", "RGB")):
        return image.convert("LA" if image.mode in ("La", "1", "L") else "RGBA")
    if image.mode in ("L", "RGB", "LA", "RGBA"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _uint16(pixels: Array) -> Array:
    """Grey of 16 bits, which Pillow holds in 16 or in 32."""
    if pixels.dtype.itemsize > 2 and (pixels.min() < 0 or pixels.max() > 65535):
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()}; expected 8 or 16 bits")
    return pixels.astype(np.uint16)[None]


def bits_of(mode: str) -> int:
    """Bits of a channel in a mode of Pillow."""
    return {"1": 1, "F": 32}.get(mode, 16 if mode.startswith("I") else 8)


def _check_regular(path: Path) -> None:
    """Raise an error for what would not be read but waited for, and for what holds nothing."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()  # which tells why it cannot be searched for images, if so
            raise ValueError("a folder")
        raise ValueError("not a regular file")
    if status.st_size == 0:
        raise ValueError("the file is empty")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _problem(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
