"""Images as the models take them: float32 tensors (C, H, W) in [0, 1], out of arrays or of any dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

Array: TypeAlias = npt.NDArray[Any]
Images: TypeAlias = Tensor | Array | Dataset[Any]
Size: TypeAlias = int | Sequence[int]
Shape: TypeAlias = tuple[int, int, int]

_CHECKED_AT_ONCE = 1024


class ImageDataset(Dataset[Tensor], ABC):
    """Images of one shape as float32 tensors (C, H, W) in [0, 1].

    Attributes:
        shape: (C, H, W) of every image.
    """

    shape: Shape

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> Tensor:
        """Return one image (C, H, W)."""

    def take(self, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) at the int64 `indices` (n,)."""
        return torch.stack([self[index] for index in indices.tolist()])

    def span(self, start: int, stop: int) -> Tensor:
        """Return the images (n, C, H, W) from `start` up to `stop`, or to the last one before it."""
        return self.take(torch.arange(start, min(stop, len(self))))

    def stored_span(self, start: int, stop: int) -> Tensor:
        """Return what `span` does, but as uint8 (0 to 255) where that is how the images are stored."""
        return self.span(start, stop)


def as_image_dataset(images: Images, *, channels: int | None = None, size: Size | None = None) -> ImageDataset:
    """View `images` as float32 tensors (C, H, W) in [0, 1] that are converted when they are asked for.

    Args:
        images: a tensor or numpy array (N, C, H, W) or (N, H, W), or a dataset (anything with a length and an
            index) of images (C, H, W) or (H, W), or of tuples that begin with one. uint8 is divided by 255;
            floating point must lie in [0, 1] already.
        channels: the number of channels to insist on.
        size: the height and width (one number for a square) to insist on.

    Raises:
        TypeError: something else than the above, or another dtype.
        ValueError: no images, a wrong shape, or a pixel that is NaN, infinite or outside [0, 1]. Arrays are
            checked here; of a dataset the first item is, and every item when it is read.
    """
    if isinstance(images, ImageDataset):
        dataset = images
    elif isinstance(images, Tensor | np.ndarray):
        dataset = _ArrayImages(images)
    else:
        dataset = _DatasetImages(images)
    _check_shape(dataset.shape, channels, size)
    return dataset


def batches(dataset: ImageDataset, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
    """Read `dataset` in batches (n, C, H, W) of `batch_size` images, the last one smaller where it must be.

    Args:
        dataset: the images.
        batch_size: the number of images in a batch.
        order: int64 indices (n,) of the images to read; all of them in order by default.

    Raises:
        ValueError: a batch size below 1.
    """
    _check_batch_size(batch_size)
    if order is None:
        return (dataset.span(start, start + batch_size) for start in range(0, len(dataset), batch_size))
    return (dataset.take(some) for some in torch.split(order, batch_size))


def stored_batches(dataset: ImageDataset, batch_size: int) -> Iterator[Tensor]:
    """Read `dataset` in order like `batches`, but as uint8 (0 to 255) where it is a tensor or array of that.

    Args:
        dataset: the images.
        batch_size: the number of images in a batch.

    Raises:
        ValueError: a batch size below 1.
    """
    _check_batch_size(batch_size)
    return (dataset.stored_span(start, start + batch_size) for start in range(0, len(dataset), batch_size))


def mean_image(datasets: Sequence[ImageDataset], batch_size: int) -> Tensor:
    """Return the mean of all images of data sets of one shape, (C, H, W), reading `batch_size` of them at a time."""
    total = torch.zeros(datasets[0].shape, dtype=torch.float64)
    for dataset in datasets:
        for images in batches(dataset, batch_size):
            total += images.sum(0, dtype=torch.float64).cpu()
    return (total / sum(map(len, datasets))).float()


def height_width(size: Size) -> tuple[int, int]:
    """Return `size`, one number for a square or (H, W), as (H, W).

    Raises:
        ValueError: not one or two positive whole numbers.
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(length, int) and length >= 1 for length in pair):
        raise ValueError(f"size must be a positive number of pixels or (height, width), got {size!r}")
    return pair


class _ArrayImages(ImageDataset):
    """A tensor or numpy array (N, C, H, W) or (N, H, W), kept as it is."""

    def __init__(self, images: Tensor | Array) -> None:
        _check_dtype(images, "images")
        if images.ndim not in (3, 4):
            raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, C, H, W) or (N, H, W)")
        if 0 in images.shape:
            raise ValueError(f"there are no images: their shape is {tuple(images.shape)}")
        self._images = images.detach() if isinstance(images, Tensor) else images
        channels = images.shape[1] if images.ndim == 4 else 1
        self.shape = (channels, images.shape[-2], images.shape[-1])
        if not _is_bytes(images):
            for start in range(0, len(self), _CHECKED_AT_ONCE):
                _check_pixels(self.span(start, start + _CHECKED_AT_ONCE), start)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        return _as_float(self._images[index]).reshape(self.shape)

    def take(self, indices: Tensor) -> Tensor:
        images = self._images
        if isinstance(images, Tensor):
            # Not blocking: on a GPU the host need not wait for the work before.
            chosen = images[indices.to(images.device, non_blocking=True)]
        else:
            chosen = images[indices.numpy()]
        return _as_float(chosen).reshape(-1, *self.shape)

    def span(self, start: int, stop: int) -> Tensor:
        # A slice is copied once, and faster than single images are gathered.
        return _as_float(self._images[start:stop]).reshape(-1, *self.shape)

    def stored_span(self, start: int, stop: int) -> Tensor:
        images = self._images[start:stop]
        if not _is_bytes(images):
            return self.span(start, stop)
        if not isinstance(images, Tensor):
            images = torch.from_numpy(images.copy())  # torch refuses negative strides, and warns of read-only arrays
        return images.reshape(-1, *self.shape)


class _DatasetImages(ImageDataset):
    """Any other dataset, read an item at a time."""

    def __init__(self, dataset: Any) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"images are a {type(dataset).__name__}; expected a tensor, a numpy array, or a dataset with "
                "__len__ and __getitem__"
            )
        if len(dataset) == 0:
            raise ValueError(f"there are no images: the {type(dataset).__name__} is empty")
        self._dataset = dataset
        self.shape = _chw(self._read(0), 0)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Tensor:
        image = self._read(index)
        if _chw(image, index) != self.shape:
            raise ValueError(f"image {index} has shape {tuple(image.shape)}; the first one has {self.shape}")
        pixels = _as_float(image).reshape(self.shape)
        if not _is_bytes(image):
            _check_pixels(pixels[None], index)
        return pixels

    def _read(self, index: int) -> Tensor | Array:
        item = self._dataset[index]
        image = item[0] if isinstance(item, tuple | list) and item else item
        if not isinstance(image, Tensor | np.ndarray):
            raise TypeError(
                f"item {index} of the dataset is a {type(image).__name__}; expected an image (C, H, W) "
                "as a tensor or a numpy array, alone or first in a tuple"
            )
        _check_dtype(image, f"image {index}")
        return image.detach() if isinstance(image, Tensor) else image


def _chw(image: Tensor | Array, index: int) -> Shape:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image {index} has shape {tuple(image.shape)}; expected (C, H, W) or (H, W)")
    channels = image.shape[0] if image.ndim == 3 else 1
    return (channels, image.shape[-2], image.shape[-1])


def _is_bytes(values: Tensor | Array) -> bool:
    return values.dtype in (torch.uint8, np.uint8)


def _check_dtype(values: Tensor | Array, what: str) -> None:
    dtype = values.dtype
    floating = (
        dtype.is_floating_point
        if isinstance(dtype, torch.dtype)
        else dtype.kind == "f" and dtype.itemsize <= 8  # torch has no longer ones
    )
    if not (floating or _is_bytes(values)):
        raise TypeError(f"{what}: dtype {dtype}; expected uint8 (0 to 255) or floating point (0 to 1)")


def _as_float(values: Tensor | Array) -> Tensor:
    """Copy to float32; uint8 is divided by 255."""
    if isinstance(values, Tensor):
        pixels = values.to(torch.float32, copy=True)
    else:
        # torch refuses foreign byte order and negative strides, and warns of read-only arrays.
        native = values.astype(values.dtype.newbyteorder("="), order="C")
        pixels = torch.from_numpy(native).to(torch.float32)
    return pixels.div_(255) if _is_bytes(values) else pixels


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _check_shape(shape: Shape, channels: int | None, size: Size | None) -> None:
    height, width = shape[1:] if size is None else height_width(size)
    expected = (shape[0] if channels is None else channels, height, width)
    if shape != expected:
        raise ValueError(f"images have shape (C, H, W) = {shape}; expected {expected}")


def _check_pixels(images: Tensor, first_index: int) -> None:
    """Raise ValueError for the first of `images` (n, C, H, W) with a pixel that is not in [0, 1]."""
    low, high = images.flatten(1).aminmax(dim=1)  # both are NaN where a pixel is
    wrong = ~((low >= 0) & (high <= 1))
    if not wrong.any():
        return
    position = int(wrong.int().argmax())
    least, most = float(low[position]), float(high[position])
    if np.isfinite(least) and np.isfinite(most):
        problem = f"floating-point pixels from {least:g} to {most:g}; expected 0 to 1, or uint8 from 0 to 255"
    else:
        problem = "NaN or infinite pixels"
    raise ValueError(f"image {first_index + position} has {problem}")
