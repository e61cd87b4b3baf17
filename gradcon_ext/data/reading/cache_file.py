"""The file that prepared images are kept in: the pixels of all, zeros where there are none, and notes on some."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.streams import Reading
from gradcon_ext.storage.files import replace_file

_MAGIC = b"\ngradcon images\n"
_LENGTH = 8
"""Bytes of the length of the notes, which stands behind them and before the last line."""


@dataclass(frozen=True)
class CacheFile:
    """Where a cache file is, and what its pixels are.

    Attributes:
        path: of the file, which may be missing.
        shape: (N, C, H, W) of all images.
        dtype: uint8, or uint16 for more bits.
        levels: what 1 is as uint16.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    levels: int

    @property
    def is_sound(self) -> bool:
        """Whether the file is there, whole."""
        length = notes_length(self.path)
        return length is not None and self.path.stat().st_size == self._pixel_bytes + length + _LENGTH + len(_MAGIC)

    def write(self, readings: Iterable[Reading]) -> None:
        """Write the images as they come; the file appears when it is complete."""
        with replace_file(self.path) as temporary, temporary.open("wb") as file:
            self._write(file, readings)

    def told(self, files: Sequence[ImageFile]) -> dict[int, Reading]:
        """Return what there is to tell of some of the images, by their numbers; see `is_notable`."""
        with self.path.open("rb") as file:
            file.seek(self._pixel_bytes)
            text = file.read()[: -_LENGTH - len(_MAGIC)]
        return {int(index): _as_reading(files[int(index)], *note) for index, note in json.loads(text).items()}

    def mapped(self) -> tuple[mmap.mmap, Array]:
        """Return the pixels (N, C, H, W), and the mapping into memory that they are in."""
        with self.path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return mapping, np.frombuffer(mapping, self.dtype, math.prod(self.shape)).reshape(self.shape)

    @property
    def _pixel_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def _write(self, file: BinaryIO, readings: Iterable[Reading]) -> None:
        notes = {}
        for index, reading in enumerate(readings):
            if is_notable(reading):
                problem = None if reading.error is None else reading.error.problem
                notes[index] = problem, reading.beyond, reading.frames
            nothing = np.zeros(self.shape[1:], self.dtype)
            file.write((nothing if reading.pixels is None else self._kept(reading.pixels.numpy())).tobytes())
        text = json.dumps(notes).encode()
        file.write(text + len(text).to_bytes(_LENGTH, "little") + _MAGIC)

    def _kept(self, pixels: Array) -> Array:
        if pixels.dtype == self.dtype:
            return pixels
        if pixels.dtype == np.uint8:
            pixels = pixels / 255
        highest = 255 if self.dtype == np.uint8 else self.levels
        return np.rint(pixels.astype(np.float64) * highest).astype(self.dtype)


def is_notable(reading: Reading) -> bool:
    """Whether an image could not be read, left the range, or is one of several frames."""
    return reading.error is not None or reading.beyond is not None or reading.frames > 1


def notes_length(path: Path) -> int | None:
    """How many bytes of notes a cache file has; None of any other file."""
    end = len(_MAGIC) + _LENGTH
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < end:
                return None
            file.seek(-end, 2)
            length, magic = int.from_bytes(file.read(_LENGTH), "little"), file.read()
    except OSError:
        return None
    return length if magic == _MAGIC else None


def _as_reading(file: ImageFile, problem: str | None, beyond: list[float] | None, frames: int) -> Reading:
    error = None if problem is None else UnreadableImage(file.path, problem)
    return Reading(file, None, error, None if beyond is None else (beyond[0], beyond[1]), frames)
