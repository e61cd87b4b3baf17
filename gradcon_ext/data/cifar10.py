"""CIFAR-10 in its binary version: records of a label byte and 3072 pixel bytes, plane by plane (R, G, B)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import DataSet, LabelledImages
from gradcon_ext.data.tar_stream import files_in_tar

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)

_IMAGE_SHAPE = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32
_LARGEST_FILE = 10_000 * _RECORD_BYTES

Records = npt.NDArray[np.uint8]


def read_cifar10(path: str | os.PathLike[str]) -> DataSet:
    """Read CIFAR-10, images (N, 3, 32, 32), from its tar file or from the folder with the files out of it.

    The tar file, plain or gzip-compressed, is read as a stream and never extracted to disk.

    Raises:
        FileNotFoundError: no such file or folder, or a file of the folder is missing.
        ValueError: a damaged file, or something else than the binary version of CIFAR-10.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    contents = _folder_contents(path) if path.is_dir() else _tar_contents(path)
    records = {name: _records(content, f"{path}: {name}") for name, content in contents}
    missing = [name for name in TRAIN_FILES + TEST_FILES if name not in records]
    if missing:
        raise ValueError(f"{path}: no {', '.join(missing)} in it; expected the binary version of CIFAR-10")
    return DataSet(_labelled(records, TRAIN_FILES), _labelled(records, TEST_FILES), CIFAR10_CLASSES)


def _folder_contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in TRAIN_FILES + TEST_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no {name} in {folder}")
        size = (folder / name).stat().st_size
        if size > _LARGEST_FILE:
            raise ValueError(f"{folder}: {name} has {size} bytes; expected {_LARGEST_FILE} at most")
        yield name, (folder / name).read_bytes()


def _tar_contents(path: Path) -> Iterator[tuple[str, bytes]]:
    for member, content in files_in_tar(path, lambda member: member.name in TRAIN_FILES + TEST_FILES, _LARGEST_FILE):
        yield member.name, content


def _records(content: bytes, what: str) -> Records:
    """View the content of a file as records (N, 3073)."""
    if len(content) == 0 or len(content) % _RECORD_BYTES:
        raise ValueError(f"{what}: {len(content)} bytes; expected a multiple of {_RECORD_BYTES}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    largest = records[:, 0].max()
    if largest >= len(CIFAR10_CLASSES):
        raise ValueError(f"{what}: label {largest}; expected 0 to {len(CIFAR10_CLASSES) - 1}")
    return records


def _labelled(records: dict[str, Records], names: tuple[str, ...]) -> LabelledImages:
    images = np.concatenate([records[name][:, 1:] for name in names])
    labels = np.concatenate([records[name][:, 0] for name in names])
    return LabelledImages(images.reshape(-1, *_IMAGE_SHAPE), labels.astype(np.int64))
