"""Which images each experiment of the paper's section 5 is trained and tested on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gradcon_ext.data import DataSet, load, one_class_split, read_cure_tsr, resize
from gradcon_ext.data.folds import FoldSplit, five_fold_split
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.data.one_class import OneClassSplit

FIVE_FOLD = ("fashion-mnist",)
"""Data sets by the protocol of Pidhorskyi et al. (2018), whose seeds are the folds."""

CURE_TSR = "cure-tsr"
"""All signs free of challenges are inliers."""

ALL_SIGNS = "all"
"""The one inlier class of CURE-TSR."""

CIFAR10_LANCZOS = "cifar10-lanczos"
"""CIFAR-10 shrunk by LANCZOS, as in the published code, and otherwise the same."""

ONE_CLASS_FASHION = "fashion-mnist-one-class"
"""fashion-MNIST split by seed, as MNIST is."""

_SHAPES = {
    "mnist": (1, 28),
    "cifar10": (3, 28),
    CIFAR10_LANCZOS: (3, 28),
    "fashion-mnist": (1, 28),
    ONE_CLASS_FASHION: (1, 28),
    "digits": (1, 8),
    CURE_TSR: (3, 28),
}
_SOURCES = {CIFAR10_LANCZOS: "cifar10", ONE_CLASS_FASHION: "fashion-mnist"}
_FILTERS = {CIFAR10_LANCZOS: Image.Resampling.LANCZOS}
_HELD_OUT = 0.1
_CURE_TSR_PLACES = ("cure-tsr", "CURE-TSR", "cure-tsr.tar.gz", "CURE-TSR.tar.gz")
_STAND_IN = "gtsrb-as-cure-tsr/gtsrb-as-cure-tsr.tar.gz"


def image_shape(dataset: str) -> tuple[int, int]:
    """Channels of a data set's images, and the size that they are brought to, as in the published experiments."""
    return _SHAPES[dataset]


@lru_cache(maxsize=1)
def data_set(dataset: str, data_root: Path | None) -> DataSet:
    """Read a data set once for all experiments of a process that follow each other on it."""
    return load(_SOURCES.get(dataset, dataset), data_root)


def class_names(dataset: str, data_root: Path | None) -> tuple[str, ...]:
    """Names of the classes that are the inliers in turn."""
    return (ALL_SIGNS,) if dataset == CURE_TSR else data_set(dataset, data_root).class_names


def training_facts(dataset: str, inlier: str, seed: int) -> dict[str, Any]:
    """What finds the images of a run again; where a class of a data set is split by seed, as `gradcon train` has it."""
    facts = {
        "dataset": _SOURCES.get(dataset, dataset),
        "inlier": inlier,
        "fold" if dataset in FIVE_FOLD else "seed": seed,
    }
    return {**facts, "shrunk by": _FILTERS[dataset].name} if dataset in _FILTERS else facts


def shrunk(dataset: str, images: ImageArray) -> ImageArray:
    """Bring images of a data set to the size of `image_shape`."""
    return resize(images, image_shape(dataset)[1], _FILTERS.get(dataset, Image.Resampling.BILINEAR))


def training_images(dataset: str, inlier: str, seed: int, data_root: Path | None) -> tuple[ImageArray, ImageArray]:
    """Images to learn from and held-out inliers, uint8 (n, C, H, W) of `image_shape`."""
    if dataset == CURE_TSR:
        return _cure_tsr_training(seed, data_root)
    if dataset in FIVE_FOLD:
        folds = five_fold(dataset, inlier, seed, data_root)
        return shrunk(dataset, folds.images[folds.train]), shrunk(dataset, folds.images[folds.validation.inliers])
    split = one_class(dataset, inlier, seed, data_root)
    return shrunk(dataset, split.train), shrunk(dataset, split.validation)


def one_class(dataset: str, inlier: str, seed: int, data_root: Path | None) -> OneClassSplit:
    """Split by Perera et al. (2019): a data set's own, with 10 % of the training images held out."""
    return one_class_split(data_set(dataset, data_root), inlier, seed)


def five_fold(dataset: str, inlier: str, fold: int, data_root: Path | None) -> FoldSplit:
    """Split by Pidhorskyi et al. (2018): five folds, 60 % to train, 20 % to validate and 20 % to test."""
    return five_fold_split(data_set(dataset, data_root), inlier, fold)


def cure_tsr_path(data_root: Path | None) -> tuple[Path, bool]:
    """Find CURE-TSR, or the traffic signs of GTSRB in its layout, and say whether it is that stand-in.

    Raises:
        FileNotFoundError: there is neither.
    """
    root = data_root or Path()
    for place in _CURE_TSR_PLACES:
        if (root / place).exists():
            return root / place, False
    if (root / _STAND_IN).exists():
        return root / _STAND_IN, True
    raise FileNotFoundError(
        f"cannot find CURE-TSR below {root}: expected one of {', '.join(_CURE_TSR_PLACES)}, or signs of GTSRB in its "
        f"layout as {_STAND_IN}"
    )


def _cure_tsr_training(seed: int, data_root: Path | None) -> tuple[ImageArray, ImageArray]:
    path, _ = cure_tsr_path(data_root)
    images = read_cure_tsr(path, "train", size=image_shape(CURE_TSR)[1]).images
    shuffled = np.random.default_rng(seed).permutation(len(images))
    held_out = round(_HELD_OUT * len(images))
    return images[np.sort(shuffled[held_out:])], images[np.sort(shuffled[:held_out])]
