"""A folder of image files as a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset, stacked
from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.finding import find_images
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.data.reading.streams import read_image


class ImageFolder(ImageDataset):
    """Image files, opened when they are asked for; made by `read_image_folder`.

    Attributes:
        paths: the files, in the order of the images.
        shape: (C, H, W) of every image.
        preparation: what is done to each image.
    """

    def __init__(self, paths: Sequence[Path], channels: int, size: Size, **how: Any) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
        self.paths = list(paths)
        self.shape = (channels, *height_width(size))
        self.preparation = Preparation(channels, self.shape[1:], **how)
        if self.preparation.frame == "all":
            raise ValueError("a folder has one image a file; give the number of a frame")

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def stored(self, index: int) -> Tensor:
        """Read one image, uint8 (C, H, W) of 8 bits, or float32 of more.

        Raises:
            UnreadableImage: the file cannot be read as an image, or has more pixels than `max_pixels`. A ValueError.
        """
        frame = self.preparation.frame
        assert frame != "all"  # the constructor has seen to it
        reading = read_image(ImageFile(self.paths[index], frame), self.preparation)
        if reading.beyond is not None:
            warnings.warn(f"{reading.file.path} leaves the range of values, and is clipped", stacklevel=2)
        if reading.pixels is None:
            raise reading.error or AssertionError("an image has pixels or an error")
        return reading.pixels

    def stored_take(self, indices: Tensor) -> Tensor:
        """Read the images (n, C, H, W) at the int64 `indices` (n,), several at a time; raises what `stored` does."""
        return stacked(list(in_order(self.stored, indices.tolist())))


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
    return ImageFolder([file.path for file in find_images(folder).files], channels, size, **how)
