"""Images out of arrays, data sets, folders or whatever yields them, as a data set that has been checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gradcon_ext.data.image_dataset import ImageDataset, Shape
from gradcon_ext.data.image_folder import ImageFolder
from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.image_streams import chw, is_stream, stream_batches
from gradcon_ext.data.items import content_of, pixels_of
from gradcon_ext.data.pixels import Array, as_floats, as_stored, check_dtype, check_pixels, is_bytes
from gradcon_ext.data.reading.finding import Part, find_images
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.storage.pixels import channels_last, check_layout

Images: TypeAlias = Tensor | Array | Dataset[Any] | Image.Image | str | os.PathLike[str] | Iterable[Any]

_CHECKED_AT_ONCE = 1024


def takes_features(model: object) -> bool:
    """Whether a model says, by `accepts = "features"`, that it is given feature maps, whose values may be any."""
    return getattr(model, "accepts", "pixels") == "features"


def preparation_of(model: object, facts: Mapping[str, Any]) -> Preparation | None:
    """Return how image files and Pillow's images become the input of a model; None where that is not known.

    Args:
        model: its `architecture`, where it has one, tells channels and size.
        facts: of a preprocessing, which may tell them too.
    """
    known = getattr(model, "architecture", None) or {}
    shape = {name: known[name] for name in ("channels", "size") if name in known}
    try:
        return Preparation.read({**shape, **facts})
    except ValueError:
        return None


def as_image_dataset(
    images: Images,
    *,
    channels: int | None = None,
    size: Size | None = None,
    features: bool = False,
    key: str | None = None,
    preparation: Preparation | None = None,
    part: Part = "all",
) -> ImageDataset:
    """View `images` as an `ImageDataset`; what is uint8 stays so, anything else is float32 when it is asked for.

    Args:
        images: a tensor or numpy array (N, C, H, W) or (N, H, W); a dataset (anything with a length and an index); a
            folder, list or file as `find_images` takes them; an image of Pillow; or whatever else can be gone through,
            such as a DataLoader, whose images are all read into memory. What a dataset holds or an iterable yields is
            an image (C, H, W) or (H, W) or Pillow's, alone, first in a tuple, or under a key; of an iterable it may be
            a batch. uint8 is from 0 to 255; floating point must lie in [0, 1] already.
        channels: the number of channels to insist on.
        size: the height and width (one number for a square) to insist on.
        features: whether they are feature maps: their values, in floating point, may be any finite ones.
        key: of dictionaries; by default that of their only image.
        preparation: of files, which need it, and of Pillow's images, which otherwise stay as they are.
        part: of a folder that tells training and test images apart.

    Raises:
        TypeError: something else than the above, or another dtype.
        OSError: a path that leads nowhere.
        ValueError: no images, files without a preparation, a wrong shape, or a pixel that is NaN, infinite or
            outside [0, 1]. Arrays are checked here; of a dataset the first item is, and every item when it is read.
    """
    if isinstance(images, ImageDataset):
        dataset = images
    elif isinstance(images, Tensor | np.ndarray):
        dataset = _ArrayImages(images, features)
    elif isinstance(images, str | os.PathLike):
        dataset = _files(images, preparation, part)
    elif is_stream(images):
        dataset = _gathered(stream_batches(images, _CHECKED_AT_ONCE, features, key, preparation))
    else:
        pillow = isinstance(images, Image.Image)
        dataset = _DatasetImages([images] if pillow else images, features, key, preparation)
    if channels is not None or size is not None:  # where nothing is insisted on, images may have no common shape
        _check_shape(dataset.shape, channels, size)
    return dataset


def check_batch(images: Tensor, first_index: int, features: bool = False) -> None:
    """Check a batch of images as `as_image_dataset` checks them; bytes are not looked at.

    Args:
        images: (n, C, H, W).
        first_index: what an error calls the first of them.
        features: whether they are feature maps, whose values may be any finite ones.

    Raises:
        TypeError: no tensor, or another dtype than uint8 and floating point.
        ValueError: no images, another number of dimensions, or a pixel that is NaN, infinite or outside [0, 1].
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"a batch of images is a {type(images).__name__}; expected a tensor")
    check_dtype(images, "images")
    check_layout(images.shape)
    if images.dim() != 4:
        raise ValueError(f"a batch of images has shape {tuple(images.shape)}; expected (n, C, H, W)")
    if not is_bytes(images):
        check_pixels(images.detach(), first_index, features)


class _ArrayImages(ImageDataset):
    """A tensor or numpy array (N, C, H, W) or (N, H, W), kept as it is."""

    def __init__(self, images: Tensor | Array, features: bool) -> None:
        check_dtype(images, "images")
        check_layout(images.shape)
        self._images = images.detach() if isinstance(images, Tensor) else images
        channels = images.shape[1] if images.ndim == 4 else 1
        self.shape = (channels, images.shape[-2], images.shape[-1])
        if not is_bytes(images):
            for start in range(0, len(self), _CHECKED_AT_ONCE):
                some = self._images[start : start + _CHECKED_AT_ONCE]
                check_pixels(some.float() if isinstance(some, Tensor) else as_stored(some), start, features)

    def __len__(self) -> int:
        return len(self._images)

    def stored(self, index: int) -> Tensor:
        return as_stored(self._images[index]).reshape(self.shape)

    def stored_take(self, indices: Tensor) -> Tensor:
        images = self._images
        if isinstance(images, Tensor):
            # Not blocking: on a GPU the host need not wait for the work before.
            chosen = images[indices.to(images.device, non_blocking=True)]
        else:
            chosen = images[indices.numpy()]
        return as_stored(chosen).reshape(-1, *self.shape)

    def stored_span(self, start: int, stop: int) -> Tensor:
        # A slice is copied once at most, and faster than single images are gathered.
        return as_stored(self._images[start:stop]).reshape(-1, *self.shape)


class _DatasetImages(ImageDataset):
    """Any other dataset, read an item at a time."""

    def __init__(self, dataset: Any, features: bool, key: str | None, preparation: Preparation | None) -> None:
        if isinstance(dataset, Mapping) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"images are a {type(dataset).__name__}; expected a tensor, a numpy array, a dataset with "
                "__len__ and __getitem__, a path, an image of Pillow, or an iterable of images"
            )
        if len(dataset) == 0:
            raise ValueError(f"there are no images: the {type(dataset).__name__} is empty")
        self._dataset = dataset
        self._features = features
        self._key = key
        self._preparation = preparation
        self.shape = chw(self._read(0), 0)

    def __len__(self) -> int:
        return len(self._dataset)

    def stored(self, index: int) -> Tensor:
        image = self._read(index)
        if chw(image, index) != self.shape:
            raise ValueError(f"image {index} has shape {tuple(image.shape)}; the first one has {self.shape}")
        pixels = as_stored(image).reshape(self.shape)
        if not is_bytes(pixels):
            check_pixels(pixels[None], index, self._features)
        return pixels

    def _read(self, index: int) -> Tensor | Array:
        return pixels_of(content_of(self._dataset[index], self._key), index, self._preparation)


def _files(path: str | os.PathLike[str], preparation: Preparation | None, part: Part) -> ImageFolder:
    if preparation is None:
        raise ValueError(
            f"{os.fspath(path)}: how image files become the model's input is not known, for neither the model nor a "
            "detector tells channels and size; read them with gradcon_ext.data.read_image_folder"
        )
    files = find_images(path, part).files
    how = asdict(preparation)
    return ImageFolder(files, how.pop("channels"), how.pop("size"), **how)


def _gathered(batches: Iterable[Tensor]) -> ImageDataset:
    """Batches that were checked, in memory."""
    every = list(batches)
    if len({batch.dtype for batch in every}) > 1:
        every = [as_floats(batch) for batch in every]
    return _ArrayImages(torch.cat(every), features=True)


def _check_shape(shape: Shape, channels: int | None, size: Size | None) -> None:
    height, width = shape[1:] if size is None else height_width(size)
    expected = (shape[0] if channels is None else channels, height, width)
    if shape != expected:
        raise ValueError(f"images have shape (C, H, W) = {shape}; expected {expected}{channels_last(shape, expected)}")
