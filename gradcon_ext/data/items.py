"""The image in what a data set or a loader yields: alone, first in a tuple, or under a key."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeGuard

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from gradcon_ext.data.pixels import Array, check_dtype
from gradcon_ext.data.reading.decoded import Decoded
from gradcon_ext.data.reading.decoding import bits_of, native_pixels
from gradcon_ext.data.reading.opening import load_image
from gradcon_ext.data.reading.preparation import Preparation

Maker: TypeAlias = Literal["default_collate", "default_convert", "own collation", "iterable"]
"""Of what a stream yields: torch's collation of batches or of samples, a loader's own of batches, or anything else."""

_CHANNELS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}


def content_of(item: Any, key: str | None) -> Any:
    """Return what one sample holds as its image.

    Args:
        item: an image, a tuple or list that begins with one, or a dictionary; a list of images is returned as it is.
        key: of dictionaries; by default that of their only image.

    Raises:
        TypeError: a key for what is no dictionary, or without one a dictionary of no image or several.
        KeyError: a dictionary has no such key.
    """
    if isinstance(item, tuple | list) and item and not is_list_of_images(item):
        return content_of(item[0], key)
    if not isinstance(item, Mapping):
        if key is not None:
            raise TypeError(f"there is a key {key!r}, but a {type(item).__name__} instead of a dictionary")
        return item
    if key is None:
        key = _only_image(item)
    elif key not in item:
        raise KeyError(f"there is no {key!r} among {', '.join(map(repr, item))}")
    return item[key]


def content_of_batch(item: Any, key: str | None, maker: Maker) -> Any:
    """Return what an item of a stream holds: an image, an array of them, or a list of single images.

    Args:
        item: one sample; or a batch, as a list of samples or of images, or with all images first.
        key: as above.
        maker: who has put it together.

    Raises:
        TypeError, KeyError: as above; or it may be read in two ways.
    """
    if maker == "default_collate":
        return content_of(_first_in(item), key)
    is_several = isinstance(item, list) or (maker == "own collation" and isinstance(item, tuple))
    if not is_several or not item:
        return content_of(item, key)
    if all(map(_is_single, item)):
        is_list = isinstance(item, list) and maker != "default_convert"
        if not is_list and len(item) > 1 and not isinstance(item[0], Image.Image):
            raise _ambiguous("several arrays", "images, or begin with what counts")
        return list(item)
    if isinstance(item, list) and all(map(_begins_with_image, item)):
        if any(isinstance(each, tuple | list) and len(each) > 1 and all(map(_is_single, each)) for each in item):
            raise _ambiguous("tuples of images alone", "samples, or begin with all that count")
        return [content_of(each, key) for each in item]
    first = item[0]
    return content_of_batch(list(first) if maker == "own collation" and isinstance(first, tuple) else first, key, maker)


def _first_in(item: Any) -> Any:
    while isinstance(item, tuple | list) and item:
        item = item[0]
    return item


def is_list_of_images(content: Any) -> TypeGuard[list[Any]]:
    """Whether this is a list of single images alone; a tuple is one sample, whose first image counts."""
    return isinstance(content, list) and bool(content) and all(map(_is_single, content))


def _is_single(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, Tensor | np.ndarray) and value.ndim in (2, 3))


def _begins_with_image(sample: Any) -> bool:
    if isinstance(sample, tuple | list):
        return bool(sample) and (_is_single(sample[0]) or isinstance(sample[0], Mapping))
    return isinstance(sample, Mapping)


def _ambiguous(what: str, ways: str) -> TypeError:
    return TypeError(
        f"{what} in a list or tuple may all be {ways}; give dictionaries, a list of images, or an array (n, C, H, W)"
    )


def pixels_of(content: Any, index: int, preparation: Preparation | None) -> Tensor | Array:
    """Return an image as a tensor or array, of uint8 or floating point; one of Pillow's is prepared.

    Args:
        content: a tensor, an array or an image of Pillow.
        index: what an error calls it.
        preparation: of Pillow's; None leaves their size and channels, without opacity, as they are.

    Raises:
        TypeError: something else, or another dtype.
        ValueError: an image that cannot be prepared so.

    Warns:
        UserWarning: an image leaves the range of the preparation, and is clipped.
    """
    if isinstance(content, Image.Image):
        return _pixels_of_pillow(content, index, preparation)
    if not isinstance(content, Tensor | np.ndarray):
        raise TypeError(
            f"item {index} of the dataset is a {type(content).__name__}; expected an image (C, H, W) "
            "as a tensor, a numpy array or an image of Pillow, alone, first in a tuple, or under a key"
        )
    check_dtype(content, f"image {index}")
    return content.detach() if isinstance(content, Tensor) else content


def _pixels_of_pillow(image: Image.Image, index: int, preparation: Preparation | None) -> Array:
    load_image(image)
    image = ImageOps.exif_transpose(image)
    pixels = native_pixels(image)
    if preparation is None:
        if not isinstance(pixels, Image.Image):
            raise ValueError(f"image {index} has more than 8 bits (mode {image.mode}); expected an array from 0 to 1")
        preparation = Preparation(_CHANNELS[pixels.mode], (image.height, image.width))
    prepared = preparation.prepare(Decoded(pixels, "Pillow", image.mode, bits_of(image.mode)))
    if prepared.beyond is not None:
        warnings.warn(f"image {index} leaves the range of values, and is clipped", stacklevel=2)
    return prepared.pixels


def _only_image(item: Mapping[str, Any]) -> str:
    keys = [key for key, value in item.items() if _looks_like_images(value)]
    if len(keys) != 1:
        raise TypeError(
            f"a dictionary of {', '.join(map(repr, item))} has {len(keys)} images; say which by key=..., "
            "as in key='image'"
        )
    return keys[0]


def _looks_like_images(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim >= 2
    return isinstance(value, Image.Image) or is_list_of_images(value)
