"""Images as a scorer takes them, in batches that have been checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from gradcon_ext.data.image_dataset import ImageDataset, stored_batches
from gradcon_ext.data.image_streams import is_stream, stream_batches
from gradcon_ext.data.images import Images, as_image_dataset, preparation_of, takes_features
from gradcon_ext.storage.pixels import channels_last


def dataset_of(
    images: Images, model: nn.Module, preprocessing: Mapping[str, Any], key: str | None = None
) -> ImageDataset:
    """Return images as a data set of what a model takes; arguments and errors are those of `batches_of`."""
    is_array = isinstance(images, Tensor | np.ndarray)  # nothing is to be prepared, and finding out how takes a while
    preparation = None if is_array else preparation_of(model, preprocessing)
    return as_image_dataset(images, features=takes_features(model), key=key, preparation=preparation)


def batches_of(
    images: Images, model: nn.Module, preprocessing: Mapping[str, Any], batch_size: int, key: str | None
) -> Iterator[Tensor]:
    """Yield images (n, C, H, W) that need not be checked again.

    Args:
        images: as `Scorer.score` takes them.
        model: that is to be given them.
        preprocessing: facts about how image files become its input, as a detector has them.
        batch_size: images in memory at a time.
        key: of the image, where the images are in dictionaries.

    Raises:
        TypeError, OSError, ValueError: as of `Scorer.score`.
    """
    if is_stream(images):
        preparation = preparation_of(model, preprocessing)
        for batch in stream_batches(images, batch_size, takes_features(model), key, preparation):
            _refuse_channels_last(tuple(batch.shape[1:]), model)
            yield batch
    else:
        dataset = dataset_of(images, model, preprocessing, key)
        _refuse_channels_last(dataset.shape, model)
        yield from stored_batches(dataset, batch_size)


def _refuse_channels_last(shape: tuple[int, ...], model: nn.Module) -> None:
    """Raise ValueError for images (H, W, C), as far as the model says how many channels it takes."""
    channels = (getattr(model, "architecture", None) or {}).get("channels")
    hint = "" if channels is None else channels_last(shape, (channels,))
    if hint:
        raise ValueError(f"images have shape (C, H, W) = {shape}; the model takes {channels} channels{hint}")
