"""Pixels as the models take them: bytes from 0 to 255, or floating point from 0 to 1; and values of feature maps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gradcon_ext.data.arrays import Array as Array
from gradcon_ext.storage.pixels import FEATURE_VALUES, unfit_pixels


def is_bytes(values: Tensor | Array) -> bool:
    """Whether these are uint8, which any value fits."""
    return values.dtype in (torch.uint8, np.uint8)


def check_dtype(values: Tensor | Array, what: str) -> None:
    """Raise TypeError, which begins with `what`, for anything but uint8 and floating point."""
    dtype = values.dtype
    floating = (
        dtype.is_floating_point
        if isinstance(dtype, torch.dtype)
        else dtype.kind == "f" and dtype.itemsize <= 8  # torch has no longer ones
    )
    if not (floating or is_bytes(values)):
        raise TypeError(f"{what}: dtype {dtype}; expected uint8 (0 to 255) or floating point (0 to 1)")


def as_stored(values: Tensor | Array) -> Tensor:
    """Return uint8 as a tensor, which may share memory, and floating point as a copy in float32."""
    if not isinstance(values, Tensor):
        # torch refuses foreign byte order and negative strides, and warns of read-only arrays.
        native = values.astype(values.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(native).to(torch.uint8 if is_bytes(values) else torch.float32)
    return values if is_bytes(values) else values.to(torch.float32, copy=True)


def as_floats(pixels: Tensor) -> Tensor:
    """Return uint8 as float32 from 0 to 1, and anything else as it is."""
    return pixels.float().div_(255) if is_bytes(pixels) else pixels


def like_weight(pixels: Tensor, weight: Tensor) -> Tensor:
    """Return pixels from 0 to 1, in the dtype and on the device of a model's weight."""
    return pixels.to(weight) / 255 if is_bytes(pixels) else pixels.to(weight)


def check_pixels(images: Tensor, first_index: int, features: bool = False) -> None:
    """Raise ValueError for the first image with a pixel that is NaN, infinite or outside [0, 1].

    Args:
        images: (n, C, H, W), floating point.
        first_index: what the error calls the first of them.
        features: whether they are feature maps, whose values may be any finite ones.
    """
    least, most = FEATURE_VALUES if features else (0, 1)
    # Rounded, as pixels are before they are scored; both are NaN where a pixel is.
    lowest, highest = torch.stack(images.aminmax()).float().tolist()
    if lowest >= least and highest <= most:
        return
    low, high = (bounds.float() for bounds in images.flatten(1).aminmax(dim=1))
    position = int((~((low >= least) & (high <= most))).int().argmax())
    raise unfit_pixels(first_index + position, float(low[position]), float(high[position]))
