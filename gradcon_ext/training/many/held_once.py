"""Images of several runs, held once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.images import Images
from gradcon_ext.training.many.run import Run, TrainVal

_Converted = TypeVar("_Converted")


def in_files(runs: Sequence[Run], folder: Path) -> list[Run]:
    """Write every array and tensor into a file of a folder, once, and return runs that map those into memory.

    All processes that map a file share its pages. Unlike shared memory, which containers often have little of, files
    are bounded by the disk alone, and they need no process to stay alive.

    Args:
        runs: what loads images, and images that are no arrays, stay as they are.
        folder: to write to; has to be there until the runs have ended.
    """

    def write(images: Tensor | Array) -> _ArrayFile:
        path = folder / f"{len(list(folder.iterdir()))}.npy"
        np.save(path, as_array(images), allow_pickle=False)
        return _ArrayFile(path)

    convert = once(write)
    return [run if callable(run.images) else replace(run, images=_Mapped(*converted(run, convert))) for run in runs]


def on_device(runs: Sequence[Run], device: torch.device) -> list[Run]:
    """Bring every array and tensor to a device, once, and return runs that have them there."""
    convert = once(lambda images: _as_tensor(images).to(device))
    return [run if callable(run.images) else replace(run, images=converted(run, convert)) for run in runs]


@dataclass(frozen=True)
class _ArrayFile:
    """An array that was written; unlike a path that the user gave, of images."""

    path: Path


@dataclass(frozen=True)
class _Mapped:
    """Images in files, or images that are no arrays."""

    train: Images | _ArrayFile
    val: Images | _ArrayFile

    def __call__(self) -> TrainVal:
        return _map(self.train), _map(self.val)


def _map(images: Images | _ArrayFile) -> Images:
    return np.load(images.path, mmap_mode="r", allow_pickle=False) if isinstance(images, _ArrayFile) else images


def converted(
    run: Run, convert: Callable[[Tensor | Array], _Converted]
) -> tuple[_Converted | Images, _Converted | Images]:
    """Convert the images of a run, but for those that are no arrays."""
    assert not callable(run.images)
    train, val = (convert(images) if isinstance(images, Tensor | np.ndarray) else images for images in run.images)
    return train, val


def once(convert: Callable[[Tensor | Array], _Converted]) -> Callable[[Tensor | Array], _Converted]:
    """Convert each object once; the runs hold the objects, so that none is mistaken for another."""
    converted: dict[int, _Converted] = {}

    def remembered(images: Tensor | Array) -> _Converted:
        if id(images) not in converted:
            converted[id(images)] = convert(images)
        return converted[id(images)]

    return remembered


def _as_tensor(images: Tensor | Array) -> Tensor:
    if isinstance(images, Tensor):
        return images.detach()
    # torch refuses foreign byte order and negative strides, and warns of read-only arrays.
    return torch.from_numpy(np.array(images, images.dtype.newbyteorder("="), order="C"))


def as_array(images: Tensor | Array) -> Array:
    """Return images as numpy has them."""
    if isinstance(images, np.ndarray):
        return images
    images = images.detach().cpu()
    # numpy has no bfloat16; images become float32 in any case.
    return (images.float() if images.dtype == torch.bfloat16 else images).numpy()
