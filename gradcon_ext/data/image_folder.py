"""A folder of image files as a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.reading.file_images import FileImages
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.finding import find_images
from gradcon_ext.data.reading.frames import with_frames
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.data.reading.streams import Reading


class ImageFolder(FileImages):
    """One image a file, opened when it is asked for; made by `read_image_folder`.

    Attributes:
        paths: the files, in the order of the images.
        shape: (C, H, W) of every image.
        preparation: what is done to each image.
    """

    def __init__(self, files: Sequence[Path | ImageFile], channels: int, size: Size, **how: Any) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
        preparation = Preparation(channels, height_width(size), **how)
        if preparation.frame == "all":
            raise ValueError("a folder has one image a file; give the number of a frame")
        images = [each if isinstance(each, ImageFile) else ImageFile(each) for each in files]
        super().__init__(with_frames(images, preparation), preparation)

    def _reading(self, index: int) -> Reading:
        reading = super()._reading(index)
        if reading.beyond is not None:
            warnings.warn(f"{reading.file.path} leaves the range of values, and is clipped", stacklevel=3)
        return reading


def read_image_folder(path: str | os.PathLike[str], channels: int, size: Size, **how: Any) -> ImageFolder:
    """Find the images of a folder and of the folders in it, in the order of their paths; see `find_images`.

    Each image is turned upright as its EXIF orientation says, converted to grey or RGB, and resized (bilinear,
    antialiased) at its own bit depth. By default that is whatever its proportions, opacity is ignored, and of several
    frames the first is taken.

    Args:
        path: the folder.
        channels: 1 for grey, 3 for red, green and blue.
        size: height and width of the images, one number for a square.
        **how: any other attribute of `gradcon_ext.data.reading.Preparation`.

    Raises:
        FileNotFoundError: no such folder.
        NotADirectoryError: a file, not a folder.
        ValueError: no images in it, or bad `channels` or `size`.
    """
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"{path}: no such folder of images")
    if not folder.is_dir():
        raise NotADirectoryError(f"{path}: is a file; expected a folder of images")
    return ImageFolder(find_images(folder).files, channels, size, **how)
