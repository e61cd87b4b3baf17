"""The images that `gradcon score` is given, as a detector takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcon_ext.data import ImageFolder, read_image_folder, resize
from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.pixels import Array


@dataclass(frozen=True)
class ImagesToScore:
    """Images, and what they are called.

    Attributes:
        dataset: N images of the detector's shape.
        column: what the labels are: "path" or "index".
        labels: of the images, (N,).
    """

    dataset: ImageDataset
    column: str
    labels: Sequence[str | int]


def images_to_score(paths: Sequence[Path], preprocessing: Mapping[str, Any]) -> ImagesToScore:
    """Find images: files and folders of them, or one .npy file.

    Args:
        paths: files and folders.
        preprocessing: of the detector, with its channels and size.

    Raises:
        OSError: a file or folder is not there.
        TypeError: an array of another dtype than uint8 or floating point.
        ValueError: no images, an array that does not fit the detector or is not alone, or a damaged file.
    """
    channels, size = preprocessing["channels"], preprocessing["size"]
    if any(path.suffix == ".npy" for path in paths):
        if len(paths) > 1:
            raise ValueError(f"an .npy file is scored alone; got it among {len(paths)} files and folders")
        array = _read_array(paths[0], channels, size)
        return ImagesToScore(array, "index", range(len(array)))
    files = [file for path in paths for file in _files(path, channels, size)]
    return ImagesToScore(ImageFolder(files, channels, size), "path", [str(file) for file in files])


def _files(path: Path, channels: int, size: Sequence[int]) -> list[Path]:
    if path.is_dir():
        return read_image_folder(path, channels, size).paths
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; expected an image, a folder of images or an .npy file")
    return [path]


def _read_array(path: Path, channels: int, size: Sequence[int]) -> ImageDataset:
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
        if array.dtype == np.uint8:
            return _ResizedBytes(array, channels, size)
        return as_image_dataset(array, channels=channels, size=size)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error


class _ResizedBytes(ImageDataset):
    """An array uint8 (N, C, H, W) or (N, H, W) whose images are resized when they are asked for."""

    def __init__(self, array: Array, channels: int, size: Sequence[int]) -> None:
        as_image_dataset(array, channels=channels)  # for its checks
        self._images = array if array.ndim == 4 else array[:, None]
        height, width = size
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return len(self._images)

    def stored(self, index: int) -> Tensor:
        return self._resized(self._images[index][None])[0]

    def stored_take(self, indices: Tensor) -> Tensor:
        return self._resized(self._images[indices.numpy()])

    def stored_span(self, start: int, stop: int) -> Tensor:
        return self._resized(self._images[start:stop])

    def _resized(self, images: Array) -> Tensor:
        # A copy, because the array is a file that is not to be written to.
        return torch.from_numpy(np.array(resize(images, self.shape[1:])))
