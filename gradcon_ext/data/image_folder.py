"""A folder of image files as a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.image_size import Size, height_width

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

_MODES = {1: "L", 3: "RGB"}


class ImageFolder(ImageDataset):
    """Image files, opened one at a time when they are asked for; made by `read_image_folder`.

    Attributes:
        paths: the files, in the order of the images.
        shape: (C, H, W) of every image.
    """

    def __init__(self, paths: Sequence[Path], channels: int, size: Size) -> None:
        if channels not in _MODES:
            raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
        self.paths = list(paths)
        self.shape = (channels, *height_width(size))

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def stored(self, index: int) -> Tensor:
        """Read one image as bytes, uint8 (C, H, W).

        Raises:
            ValueError: the file cannot be read as an image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
        """
        channels, height, width = self.shape
        path = self.paths[index]
        try:
            with Image.open(path) as file:
                check_pixel_count(file, Image.MAX_IMAGE_PIXELS)
                upright = ImageOps.exif_transpose(file)
                image = _convert(upright, _MODES[channels])
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
            raise ValueError(f"{path}: cannot be read as an image ({error})") from error
        resized = image.resize((width, height), Image.Resampling.BILINEAR)  # antialiased
        pixels = np.array(resized).reshape(height, width, channels).transpose(2, 0, 1)
        return torch.from_numpy(pixels).contiguous()


def read_image_folder(path: str | os.PathLike[str], channels: int, size: Size) -> ImageFolder:
    """Find the images of a folder and of the folders in it, in the order of their paths.

    Files are told by their suffix, one of `SUFFIXES`; names that begin with a dot are left out. Each image is
    turned upright as its EXIF orientation says, converted to grey or RGB of 8 bits a channel, and resized
    whatever its proportions (bilinear, antialiased). Transparency is dropped; of several frames the first is
    taken.

    Args:
        path: the folder.
        channels: 1 for grey, 3 for red, green and blue.
        size: height and width of the images, one number for a square.

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
    paths = sorted(file for file in folder.rglob("*") if _is_image(file, folder))
    if not paths:
        raise ValueError(f"{path}: no images in this folder; looked for {', '.join(sorted(SUFFIXES))}")
    return ImageFolder(paths, channels, size)


def check_pixel_count(image: Image.Image, most: int | None) -> None:
    """Raise ValueError for an image, opened but not decoded yet, of more pixels than that.

    Pillow itself warns at `PIL.Image.MAX_IMAGE_PIXELS`, and refuses at twice as many; None is no limit.
    """
    if most is not None and image.width * image.height > most:
        raise ValueError(f"{image.width} times {image.height} pixels; expected {most} at most")


def _is_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB or grey, Pillow warns of a palette with transparency
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits, which Pillow holds in 16 or 32 (and would clip, not scale) to 8."""
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()}; expected 8 or 16 bits")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))  # rounds pixels * 255 / 65535
