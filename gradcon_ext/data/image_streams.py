"""Images that come one after the other, or in batches, and can be asked for only once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, default_collate, default_convert

from gradcon_ext.data.image_dataset import Shape, stacked
from gradcon_ext.data.items import Maker, content_of_batch, pixels_of
from gradcon_ext.data.pixels import as_stored, check_pixels, is_bytes
from gradcon_ext.data.reading.preparation import Preparation


def is_stream(images: Any) -> TypeGuard[Iterable[Any]]:
    """Whether images can only be gone through: a loader, an iterable data set, a generator."""
    if isinstance(images, DataLoader | IterableDataset):
        return True
    has_index = hasattr(images, "__len__") and hasattr(images, "__getitem__")
    return hasattr(images, "__iter__") and not has_index and not isinstance(images, Mapping)


def stream_batches(
    images: Iterable[Any], batch_size: int, features: bool, key: str | None, preparation: Preparation | None
) -> Iterator[Tensor]:
    """Yield images as batches (n, C, H, W) of at most `batch_size`, uint8 or float32, as they come.

    Args:
        images: of a loader, its batches; of anything else, single images (C, H, W) or (H, W), or batches
            (n, C, H, W). Each may be alone, first in a tuple, or under a key, as a tensor, an array or Pillow's; and a
            list of such images is a batch, too. What may be read in two ways is a TypeError.
        batch_size: the most images of a batch.
        features: as in `as_image_dataset`.
        key: of dictionaries.
        preparation: of Pillow's images.

    Raises:
        TypeError, ValueError: as `as_image_dataset` raises for single images, or there are none.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    singles = _checked(_singles(images, key, preparation), features)
    first = next(singles, None)
    if first is None:
        raise ValueError(f"there are no images: the {type(images).__name__} is empty")
    every = chain([first], singles)
    while some := list(islice(every, batch_size)):
        yield stacked(some)


def _singles(images: Iterable[Any], key: str | None, preparation: Preparation | None) -> Iterator[Any]:
    """Every image by itself, (C, H, W) or (H, W)."""
    in_batches = isinstance(images, DataLoader) and _reads_batches(images)
    maker = _maker_of(images)
    index = 0
    for item in images:
        content = content_of_batch(item, key, maker)
        if isinstance(content, list) or (
            isinstance(content, Tensor | np.ndarray) and (content.ndim == 4 or (in_batches and content.ndim == 3))
        ):
            each = content
        else:
            each = [content]
        for image in each:
            yield pixels_of(image, index, preparation)
            index += 1


def _reads_batches(loader: DataLoader[Any]) -> bool:
    """Whether a loader asks for several samples at a time: by itself, or of a data set that takes several indices."""
    return loader.batch_sampler is not None or isinstance(loader.sampler, BatchSampler)


def _maker_of(images: Iterable[Any]) -> Maker:
    if not isinstance(images, DataLoader):
        return "iterable"
    if images.collate_fn is default_collate:
        return "default_collate"
    if images.collate_fn is default_convert:
        return "default_convert"
    return "own collation" if _reads_batches(images) else "iterable"


def _checked(images: Iterable[Any], features: bool) -> Iterator[Tensor]:
    first: Shape | None = None
    for index, image in enumerate(images):
        shape = chw(image, index)
        first = first or shape
        if shape != first:
            raise ValueError(f"image {index} has shape {tuple(image.shape)}; the first one has {first}")
        pixels = as_stored(image).reshape(shape)
        if not is_bytes(pixels):
            check_pixels(pixels[None], index, features)
        yield pixels


def chw(image: Any, index: int) -> Shape:
    """Return the shape (C, H, W) of an image (C, H, W) or (H, W).

    Raises:
        ValueError: it has another number of axes, or no pixels.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image {index} has shape {tuple(image.shape)}; expected (C, H, W) or (H, W)")
    channels = image.shape[0] if image.ndim == 3 else 1
    return (channels, image.shape[-2], image.shape[-1])
