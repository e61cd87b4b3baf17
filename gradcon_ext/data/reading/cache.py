"""Prepared images on disk, mapped into memory: read once, and held there by no one."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.reading.cache_file import CacheFile, notes_length
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.preparation import BYTES, Preparation
from gradcon_ext.data.reading.streams import Reading
from gradcon_ext.storage.files import PARTIAL

_VERSION = 2
_NAME = re.compile(r"\.images-[0-9a-f]{32}\.cache")
_RESIDENT = 1 << 26
"""Bytes that may be read before the system is told that they are not needed in memory."""


class CachedImages(ImageDataset):
    """Images of a cache file, uint8, or float32 from 16 bits; a selection of them shares the file.

    Attributes:
        shape: (C, H, W) of every image.
    """

    def __init__(self, mapped: mmap.mmap, stored: Array, levels: int, indices: Array) -> None:
        self.shape = stored.shape[1:]
        self._mapped = mapped
        self._stored = stored
        self._levels = levels
        self._indices = indices
        self._resident = 0

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._indices)

    def stored(self, index: int) -> Tensor:
        """Return one image (C, H, W)."""
        return self._read(self._indices[[index]])[0]

    def stored_take(self, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) at the int64 `indices` (n,)."""
        return self._read(self._indices[indices.numpy()])

    def selected(self, indices: Array) -> CachedImages:
        """Return those of the images that the indices (n,) name, as a data set of its own."""
        return CachedImages(self._mapped, self._stored, self._levels, self._indices[indices])

    def _read(self, places: Array) -> Tensor:
        pixels = self._stored[places]
        self._resident += pixels.nbytes
        if self._resident > _RESIDENT:
            self._mapped.madvise(mmap.MADV_DONTNEED)  # the pages stay in the system's cache, where there is room
            self._resident = 0
        if pixels.dtype == np.uint8:
            return torch.from_numpy(pixels)
        return torch.from_numpy(pixels.astype(np.float32) / np.float32(self._levels))


def cached_images(
    files: Sequence[ImageFile],
    preparation: Preparation,
    folder: Path,
    read: Callable[[Sequence[ImageFile]], Iterable[Reading]],
) -> tuple[CachedImages, list[Reading]]:
    """Read images into a file of a folder, or take them from it where it holds them already.

    The file is named by the preparation and by the names, sizes and times of change of the image files, so it is never
    out of date. `remove_caches` removes it.

    Args:
        files: of the images; at least one.
        preparation: of the images.
        folder: has to be there, and nobody else may write to it.
        read: reads files in their order; may raise for a bad one.

    Returns:
        The images that could be read, and what `is_notable` finds worth telling, without pixels.

    Raises:
        ValueError: each image is to be left at its own size, or none of them could be read; the message names the
            first.
        OSError: the file cannot be written.
    """
    if preparation.size is None:
        raise ValueError("images are kept in a file at one size; expected a preparation that tells it")
    _remove_partial(folder)
    path = folder / f".images-{_key(files, preparation)}.cache"
    dtype = np.dtype(np.uint8 if preparation.range == BYTES else np.uint16)
    file = CacheFile(path, (len(files), preparation.channels, *preparation.size), dtype, preparation.levels)
    if not file.is_sound:
        file.write(read(files))
    told = file.told(files)
    bad = [index for index, reading in told.items() if reading.error is not None]
    if len(bad) == len(files):
        raise ValueError(f"none of {len(files)} images can be read: {told[0].error}")
    images = CachedImages(*file.mapped(), file.levels, np.arange(len(files)))
    return images.selected(np.delete(np.arange(len(files)), bad)), list(told.values())


def remove_caches(folder: Path) -> None:
    """Remove what `cached_images` has left in a folder."""
    _remove_partial(folder)
    for path in folder.glob(".images-*.cache"):
        if _NAME.fullmatch(path.name) and not path.is_symlink() and notes_length(path) is not None:
            path.unlink(missing_ok=True)


def _remove_partial(folder: Path) -> None:
    """Remove what was left by a process that was killed as it wrote."""
    for path in folder.glob(f"..images-*.{PARTIAL}{'[0-9a-f]' * 8}.cache"):
        path.unlink(missing_ok=True)


def _key(files: Sequence[ImageFile], preparation: Preparation) -> str:
    digest = blake2b(repr((_VERSION, PIL.__version__, preparation)).encode(), digest_size=16)
    for file in files:
        digest.update(repr((str(file.path), file.frame, *_state(file.path))).encode())
    return digest.hexdigest()


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:  # it cannot be read either
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ino
