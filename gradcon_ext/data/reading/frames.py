"""Files of several frames as several images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import read_header
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import Preparation


def with_frames(files: Iterable[ImageFile], preparation: Preparation, workers: int | None = None) -> list[ImageFile]:
    """Return the images that a preparation takes of files; those that already name a frame stay as they are.

    A file that cannot be opened is one image, whose reading tells why.
    """
    frame = preparation.frame
    if frame != "all":
        return [file if file.names_frame else replace(file, frame=frame) for file in files]
    counted = in_order(partial(_all_frames, max_pixels=preparation.max_pixels), files, workers)
    return [image for images in counted for image in images]


def _all_frames(file: ImageFile, max_pixels: int | None) -> list[ImageFile]:
    if file.names_frame:
        return [file]
    try:
        count = read_header(file.path, max_pixels).frames
    except UnreadableImage:
        count = 1
    return [replace(file, frame=frame, names_frame=True) for frame in range(count)]
