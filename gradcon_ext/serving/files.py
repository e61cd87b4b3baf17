"""Bodies as image files, decoded as `gradcon score` decodes the files that they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import TIFF_STARTS, decode, read_header
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.serving.refusal import Refusal

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Those of the files that `gradcon score` finds: Pillow knows others, some of which it hands to other programs."""


class PreparedImage(NamedTuple):
    """An image as the detector takes it.

    Attributes:
        pixels: (C, H, W), uint8 or float32.
        beyond: least and greatest value of an image that leaves the range, where it was clipped; None of any other.
        frame: of a file all of whose frames are taken; None of others.
    """

    pixels: Array
    beyond: tuple[float, float] | None = None
    frame: int | None = None


def decoded_images(body: bytes, preparation: Preparation, max_pixels: int, max_images: int) -> list[PreparedImage]:
    """Decode a file and prepare the frames that the detector takes.

    Raises:
        Refusal: 415, no image; 413, of too many pixels or frames; 422, it cannot be decoded or prepared.
    """
    _check_head(body, max_pixels)
    limited = replace(preparation, max_pixels=max_pixels)
    with as_file(body) as path:
        try:
            if limited.frame != "all":
                return [_prepared(path, limited, limited.frame, None)]
            frames = read_header(path, max_pixels).frames
            if frames > max_images:
                raise Refusal(413, f"The file has {frames} frames; {max_images} images are taken at most.")
            return [_prepared(path, limited, frame, frame) for frame in range(frames)]
        except UnreadableImage as error:
            raise Refusal(422, f"The image {error.problem.replace(str(path), 'file')}.") from error


def _prepared(path: Path, preparation: Preparation, frame: int, told: int | None) -> PreparedImage:
    decoded = decode(path, frame, max_pixels=preparation.max_pixels, enough=preparation.enough)
    try:
        return PreparedImage(*preparation.prepare(decoded), told)
    except (ValueError, MemoryError) as error:
        problem = f"cannot be read as an image ({error or type(error).__name__})"
        raise UnreadableImage(path, problem) from error


def _check_head(body: bytes, max_pixels: int) -> None:
    """Refuse what is no image, or a large one, before it is decoded."""
    try:
        with Image.open(BytesIO(body), formats=_FORMATS) as file:
            width, height = file.size
    except Image.DecompressionBombError as error:
        raise Refusal(413, f"The image has far more than {max_pixels} pixels.") from error
    except UnidentifiedImageError as error:
        if body[:4] in TIFF_STARTS:  # of a kind that Pillow does not know
            return
        raise Refusal(415, f"The body is no image; expected one of {', '.join(_FORMATS)}.") from error
    except Exception as error:  # Pillow raises nearly anything on damaged data
        raise Refusal(415, "The body begins like an image, and cannot be read as one.") from error
    if width * height > max_pixels:
        raise Refusal(413, f"The image has {width} times {height} pixels; {max_pixels} are decoded at most.")


@contextmanager
def as_file(body: bytes) -> Iterator[Path]:
    """A temporary file, for readers that take a path."""
    with NamedTemporaryFile(prefix="gradcon-") as file:
        file.write(body)
        file.flush()
        yield Path(file.name)
