"""Which images each experiment of the paper's section 5 is trained and tested on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from gradcon_ext.data import DataSet, load, one_class_split, resize
from gradcon_ext.data.folds import FoldSplit, five_fold_split
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.data.one_class import OneClassSplit

_SHAPES = {"mnist": (1, 28), "cifar10": (3, 28), "fashion-mnist": (1, 28), "digits": (1, 8)}

ONE_CLASS = ("mnist", "cifar10", "digits")
"""Data sets with a test split of their own, by the protocol of Perera et al. (2019)."""


def image_shape(dataset: str) -> tuple[int, int]:
    """Channels of a data set's images, and the size that they are brought to, as in the published experiments."""
    return _SHAPES[dataset]


@lru_cache(maxsize=2)
def data_set(dataset: str, data_root: Path | None) -> DataSet:
    """Read a data set once for all experiments of a process that follow each other on it."""
    return load(dataset, data_root)


def class_names(dataset: str, data_root: Path | None) -> tuple[str, ...]:
    """Names of the classes that are the inliers in turn."""
    return data_set(dataset, data_root).class_names


def training_facts(dataset: str, inlier: str, seed: int) -> dict[str, Any]:
    """What finds the images of a run again, as `gradcon evaluate` reads it from a detector."""
    if dataset in ONE_CLASS:
        return {"dataset": dataset, "inlier": inlier, "seed": seed}
    return {"dataset": dataset, "inlier": inlier, "fold": seed}


def training_images(dataset: str, inlier: str, seed: int, data_root: Path | None) -> tuple[ImageArray, ImageArray]:
    """Images to learn from and held-out inliers, uint8 (n, C, H, W) of `image_shape`."""
    _, size = image_shape(dataset)
    if dataset in ONE_CLASS:
        split = one_class(dataset, inlier, seed, data_root)
        return resize(split.train, size), resize(split.validation, size)
    folds = five_fold(dataset, inlier, seed, data_root)
    return resize(folds.images[folds.train], size), resize(folds.images[folds.validation.inliers], size)


def one_class(dataset: str, inlier: str, seed: int, data_root: Path | None) -> OneClassSplit:
    """The split of Perera et al. (2019): a data set's own, with 10 % of the training images held out."""
    return one_class_split(data_set(dataset, data_root), inlier, seed)


def five_fold(dataset: str, inlier: str, fold: int, data_root: Path | None) -> FoldSplit:
    """The split of Pidhorskyi et al. (2018): five folds, 60 % to train, 20 % to validate and 20 % to test."""
    return five_fold_split(data_set(dataset, data_root), inlier, fold)
