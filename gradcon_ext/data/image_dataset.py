"""What a data set of images of one shape is, and how it is read: an image at a time, or in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gradcon_ext.data.pixels import as_floats

Shape: TypeAlias = tuple[int, int, int]


class ImageDataset(Dataset[Tensor], ABC):
    """Images of one shape, kept as uint8 from 0 to 255 or as float32 from 0 to 1.

    Indexing gives an image (C, H, W) in float32 from 0 to 1.

    Attributes:
        shape: (C, H, W) of every image.
    """

    shape: Shape

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def stored(self, index: int) -> Tensor:
        """Return one image (C, H, W) as it is kept."""

    def stored_take(self, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) at the int64 `indices` (n,), as bytes if all of them are kept so."""
        return stacked([self.stored(index) for index in indices.tolist()])

    def stored_span(self, start: int, stop: int) -> Tensor:
        """Return the images from `start` up to `stop`, or to the last one before it, as `stored_take` does."""
        return self.stored_take(torch.arange(start, min(stop, len(self))))

    def each_stored(self) -> Iterator[Tensor]:
        """Yield the images (C, H, W) as they are kept, one at a time."""
        return map(self.stored, range(len(self)))

    def __getitem__(self, index: int) -> Tensor:
        """Return one image, float32 (C, H, W) in [0, 1]."""
        return as_floats(self.stored(index))


def stacked(images: Sequence[Tensor]) -> Tensor:
    """Return images of one shape, at least one, as a batch, of bytes if all of them are."""
    if len({image.dtype for image in images}) > 1:
        images = [as_floats(image) for image in images]
    return torch.stack(list(images))


def batches(dataset: ImageDataset, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
    """Read `dataset` in batches, float32 (n, C, H, W) in [0, 1]; the arguments are those of `stored_batches`."""
    return map(as_floats, stored_batches(dataset, batch_size, order))


def stored_batches(dataset: ImageDataset, batch_size: int, order: Tensor | None = None) -> Iterator[Tensor]:
    """Read `dataset` in batches (n, C, H, W), as uint8 (0 to 255) where that is how the images are kept.

    Args:
        dataset: the images.
        batch_size: the number of images in a batch; the last one is smaller where it must be.
        order: int64 indices (n,) of the images to read; all of them in order by default.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if order is None:
        return (dataset.stored_span(start, start + batch_size) for start in range(0, len(dataset), batch_size))
    return (dataset.stored_take(some) for some in torch.split(order, batch_size))
