"""The images that `gradcon score` is given, as a detector takes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gradcon_ext.cli.array_to_score import read_array
from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.data.image_dataset import ImageDataset, stacked, stored_batches
from gradcon_ext.data.reading import FileImages, ImageFile, Reading


class Batch(NamedTuple):
    """Some images to score, and some that cannot be.

    Attributes:
        labels: columns, each with one entry an image.
        problems: why an image cannot be read; None of those that can.
        images: (n, C, H, W), those that can be read; None where none can.
    """

    labels: dict[str, Sequence[Any]]
    problems: Sequence[str | None]
    images: Tensor | None


@dataclass(frozen=True)
class ArrayToScore:
    """The images of an array, by their index."""

    dataset: ImageDataset

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def named(self) -> tuple[ImageDataset, list[str]]:
        """Return the images, and a name of each."""
        return self.dataset, [str(index) for index in range(len(self))]

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Read the images."""
        start = 0
        for images in stored_batches(self.dataset, batch_size):
            indices = range(start, start + len(images))
            yield Batch({"index": indices}, [None] * len(images), images)
            start = indices.stop


@dataclass(frozen=True)
class FilesToScore:
    """Images of files, by their paths, and by their frames where any of them was asked for."""

    files: Sequence[ImageFile]
    reader: ImageReader

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    @cached_property
    def has_frames(self) -> bool:
        """Whether paths alone do not tell the images apart."""
        return any(file.names_frame for file in self.files)

    def named(self) -> tuple[ImageDataset, list[str]]:
        """Return those that could be read, once they have been, and a name of each: its path, and its frame."""
        unreadable = {reading.file for reading in self.reader.unreadable}
        readable = [file for file in self.files if file not in unreadable]
        names = [f"{file.path}.frame-{file.frame}" if file.names_frame else str(file.path) for file in readable]
        return FileImages(readable, self.reader.preparation), names

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Read the images, of large ones fewer at a time."""
        readings = self.reader.read(self.files, "scoring")
        count = self.reader.preparation.at_once(batch_size)
        while some := list(islice(readings, count)):
            yield self._batch(some)

    def _batch(self, readings: Sequence[Reading]) -> Batch:
        labels = file_labels([reading.file for reading in readings], self.has_frames)
        problems = [None if reading.error is None else reading.error.problem for reading in readings]
        pixels = [reading.pixels for reading in readings if reading.pixels is not None]
        return Batch(labels, problems, stacked(pixels) if pixels else None)


def images_to_score(paths: Sequence[Path], reader: ImageReader) -> ArrayToScore | FilesToScore:
    """Find images: files, folders and lists of them, or one .npy file.

    Args:
        paths: each what `find_images` takes, or one array.
        reader: of the detector's preparation.

    Raises:
        OSError: a file or folder is not there.
        TypeError: an array of another dtype than uint8, uint16 or floating point.
        ValueError: no images, an array that does not fit the detector or is not alone, or a damaged list or array.
    """
    if any(path.suffix == ".npy" for path in paths):
        if len(paths) > 1:
            raise ValueError(f"an .npy file is scored alone; got it among {len(paths)} files and folders")
        return ArrayToScore(read_array(paths[0], reader))
    for path in paths:
        if not os.path.lexists(path):
            raise FileNotFoundError(
                f"there is no {path}; expected an image, a folder or list of images or an .npy file"
            )
    return FilesToScore([file for path in paths for file in reader.find(path, "test")], reader)


def file_labels(files: Sequence[ImageFile], has_frames: bool) -> dict[str, Sequence[Any]]:
    """Return the columns that tell images of files apart, the frame among them where it is needed."""
    labels: dict[str, Sequence[Any]] = {"path": [str(file.path) for file in files]}
    if has_frames:
        labels["frame"] = [file.frame for file in files]
    return labels
