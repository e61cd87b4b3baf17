"""Data sets published as MNIST is: four IDX files, images and labels of a training and a test split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradcon_ext.data.idx import read_idx
from gradcon_ext.data.labelled import DataSet, LabelledImages

MNIST_CLASSES = tuple("0123456789")
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_mnist(folder: str | os.PathLike[str], class_names: Sequence[str] = MNIST_CLASSES) -> DataSet:
    """Read the four IDX files of a folder, each raw or gzip-compressed, with images (N, 1, H, W).

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: a damaged file, or images and labels that do not belong together.
    """
    return DataSet(
        _read_split(Path(folder), "train", class_names),
        _read_split(Path(folder), "t10k", class_names),
        tuple(class_names),
    )


def _read_split(folder: Path, split: str, class_names: Sequence[str]) -> LabelledImages:
    images_path = _find(folder, f"{split}-images", 3)
    labels_path = _find(folder, f"{split}-labels", 1)
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"{images_path}: holds {images.dtype} {images.shape}; expected uint8 (N, H, W)")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(f"{labels_path}: holds {labels.dtype} {labels.shape}; expected uint8 ({len(images)},)")
    if labels.size and labels.max() >= len(class_names):
        raise ValueError(f"{labels_path}: label {labels.max()}; expected 0 to {len(class_names) - 1}")
    return LabelledImages(images[:, None], labels.astype(np.int64))


def _find(folder: Path, stem: str, dimensions: int) -> Path:
    # The dot is what some archives make of the hyphen.
    names = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no {names[0]}[.gz] in {folder}")
