"""An .npy file as a detector takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.data.arrays import Array
from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.reading import Decoded, ImageFile, Reading
from gradcon_ext.data.reading.preparation import BYTES
from gradcon_ext.storage.pixels import check_channels, check_layout


def read_array(path: Path, reader: ImageReader) -> ImageDataset:
    """Open an array (N, C, H, W) or (N, H, W) of uint8, uint16 or floating point.

    Integers are prepared as image files are, an image at a time, and the reader is told of those that leave the range
    of values; floating point has to be prepared already, from 0 to 1.

    Raises:
        OSError: it is not there, or cannot be opened.
        TypeError: another dtype.
        ValueError: it is damaged, empty, of other channels, or of floating point in another size or beyond 0 to 1.
    """
    preparation = reader.preparation
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    try:
        # Not by `np.load`, which opens archives and pickles too.
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a damaged header is parsed as Python, and fails in many ways
        raise ValueError(f"{path}: cannot be read as an .npy array ({error})") from error
    try:
        if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
            return _of_integers(path, array, reader)
        return as_image_dataset(array, channels=preparation.channels, size=preparation.size)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error


def _of_integers(path: Path, array: Array, reader: ImageReader) -> ImageDataset:
    preparation = reader.preparation
    is_in_size = preparation.size in (None, array.shape[-2:])
    if array.dtype == np.uint8 and is_in_size and preparation.range in (None, BYTES):
        return as_image_dataset(array, channels=preparation.channels)
    return _Integers(path, array, reader)


class _Integers(ImageDataset):
    """An array uint8 or uint16 whose images are prepared when they are asked for."""

    def __init__(self, path: Path, array: Array, reader: ImageReader) -> None:
        check_layout(array.shape)
        preparation = reader.preparation
        self._images = array if array.ndim == 4 else array[:, None]
        self.shape = (preparation.channels, *(preparation.size or self._images.shape[2:]))
        check_channels(self._images.shape[1:], self.shape)
        self._path, self._reader = path, reader

    def __len__(self) -> int:
        return len(self._images)

    def stored(self, index: int) -> Tensor:
        image = self._images[index].astype(self._images.dtype.newbyteorder("="))
        decoded = Decoded(image, "npy", str(image.dtype), 8 * image.dtype.itemsize)
        pixels, beyond = self._reader.preparation.prepare(decoded)
        self._reader.take(Reading(ImageFile(self._path, index), None, beyond=beyond))
        return torch.from_numpy(pixels.copy())
