"""What an actor does: images of a block are read and scored, one batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from gradcon_ext._install.freed_memory import keep_freed_memory
from gradcon_ext.data.image_dataset import stacked
from gradcon_ext.data.reading import ImageFile, Preparation, Reading, UnreadableImage, with_frames
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.streams import read_image
from gradcon_ext.detector.columns import ERROR, score_columns
from gradcon_ext.detector.detector import Detector
from gradcon_ext.ray.places import is_url
from gradcon_ext.scoring.image_scoring import scorer_of


@dataclass(frozen=True)
class Settings:
    """How blocks are scored.

    Attributes:
        preparation: what is done to each image.
        batch_size: images that are scored at a time.
        device: to score on.
        threads: that read, in each actor.
        folder: that relative paths are below.
        network: that makes feature maps, for a detector of those of another network than timm's.
        has_frames: whether rows tell the frames of images.
    """

    preparation: Preparation
    batch_size: int
    device: str
    threads: int
    folder: str
    network: nn.Module | None = None
    has_frames: bool = False


class Scored(NamedTuple):
    """Rows of a block, and what is to be known of its images."""

    rows: pa.Table
    unreadable: list[str]
    beyond: list[str]


class BlockScorer:
    """Scores blocks; a whole process is its own.

    Args:
        detector: bytes of its file.
        settings: how blocks are scored.
    """

    def __init__(self, detector: bytes, settings: Settings) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        # It is `max_pixels` that refuses large images, and damaged metadata is not looked at.
        self._preparation = replace(
            settings.preparation, max_pixels=settings.preparation.max_pixels or Image.MAX_IMAGE_PIXELS
        )
        Image.MAX_IMAGE_PIXELS = None
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self._settings = settings
        self._batch_size = self._preparation.at_once(settings.batch_size)
        self._scorer = scorer_of(loaded(detector), settings.device, network=settings.network)
        self._schema = self._schema_of_rows()

    def __call__(self, block: pa.Table) -> pa.Table:
        """Return the rows of a block."""
        return self.score(block).rows

    def score(self, block: pa.Table) -> Scored:
        """Return the rows of a block, one an image, in order."""
        images = zip(block["path"].to_pylist(), block["frame"].to_pylist(), strict=True)
        rows: list[dict[str, Any]] = []
        beyond: list[str] = []
        with TemporaryDirectory(prefix="gradcon-") as folder:
            fetch = partial(self._readings, folder=Path(folder))
            readings = (each for some in in_order(fetch, images, self._settings.threads) for each in some)
            while batch := list(islice(readings, self._batch_size)):
                rows += self._rows(batch)
                beyond += [path for path, reading in batch if reading.beyond is not None]
        unreadable = [f"{row['path']}: {row[ERROR]}" for row in rows if row[ERROR] is not None]
        return Scored(pa.Table.from_pylist(rows, self._schema), unreadable, beyond)

    def _readings(self, image: tuple[str, int | None], folder: Path) -> list[tuple[str, Reading]]:
        """Read an image, or all that a file holds, with the path that tells it from others."""
        path, frame = image
        if not is_url(path):
            return self._read(path, _image_file(Path(self._settings.folder, path), frame))
        with NamedTemporaryFile(dir=folder) as copy:
            try:
                files, name = fsspec.core.url_to_fs(path)
                copy.write(files.cat_file(name))  # one request, where to open it first asks for its size
            except Exception as error:  # each kind of store has its own
                problem = f"cannot be fetched ({' '.join(str(error).split()) or type(error).__name__})"
                return [(path, Reading(ImageFile(Path(path)), None, UnreadableImage(Path(path), problem)))]
            copy.flush()
            return self._read(path, _image_file(Path(copy.name), frame))

    def _read(self, path: str, file: ImageFile) -> list[tuple[str, Reading]]:
        return [(path, read_image(each, self._preparation)) for each in with_frames([file], self._preparation, 1)]

    def _rows(self, batch: Sequence[tuple[str, Reading]]) -> Iterator[dict[str, Any]]:
        pixels = [reading.pixels for _, reading in batch if reading.pixels is not None]
        scored = self._scored(stacked(pixels)) if pixels else iter(())
        for path, reading in batch:
            label = {"path": path, "frame": reading.file.frame} if self._settings.has_frames else {"path": path}
            if reading.error is None:
                yield {**label, **next(scored), ERROR: None}
            else:  # which may name the copy of a URL's content
                yield {**label, ERROR: reading.error.problem.replace(str(reading.file.path), path)}

    def _scored(self, pixels: Tensor) -> Iterator[dict[str, Any]]:
        columns = score_columns(self._scorer.score(pixels, len(pixels)), self._scorer.layers)
        return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))

    def _schema_of_rows(self) -> pa.Schema:
        """The columns of a row, told by that of a black image."""
        black = torch.zeros(self._preparation.channels, *(self._preparation.size or (1, 1)))
        (row,) = self._rows([("", Reading(ImageFile(Path()), black))])
        told = pa.Table.from_pylist([row]).schema
        return told.set(told.get_field_index(ERROR), pa.field(ERROR, pa.string()))


def _image_file(path: Path, frame: int | None) -> ImageFile:
    return ImageFile(path) if frame is None else ImageFile(path, frame, names_frame=True)


def loaded(detector: bytes) -> Detector:
    """Load a detector from the bytes of its file."""
    with NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(detector)
        file.flush()
        return Detector.load(file.name)
