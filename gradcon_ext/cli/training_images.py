"""The images that `gradcon train` learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gradcon_ext.data import ImageFolder, read_image_folder
from gradcon_ext.data.images import Images
from gradcon_ext.data.named_split import named_split

_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainingImages:
    """Training and validation images (n, C, H, W), and the facts that find them again, as JSON can hold them."""

    train: Images
    validation: Images
    facts: dict[str, Any]


def from_data_set(dataset: str, inlier: str, seed: int, size: int, data_root: Path | None) -> TrainingImages:
    """One class of a named data set.

    Raises:
        FileNotFoundError: the data set's files are not there.
        ValueError: they are damaged, there is no such class, or no `data_root` though the data set needs one.
    """
    split = named_split(dataset, inlier, seed, size, data_root)
    return TrainingImages(split.train, split.validation, {"dataset": dataset, "inlier": split.inlier, "seed": seed})


def from_folder(
    folder: Path, validation: Path | None, seed: int, channels: int, size: int, progress: bool
) -> TrainingImages:
    """A folder of images; without another for validation, 10 % of them are held out.

    Args:
        folder: searched in depth.
        validation: another folder.
        seed: decides which images are held out.
        channels: 1 for grey, 3 for colour.
        size: height and width that the images are resized to.
        progress: whether to show a progress bar.

    Raises:
        OSError: no such folder.
        ValueError: no images, a single one where some must be held out, or one that cannot be read.
    """
    # Resolved, so that a path that is spelled differently is the same data.
    facts = {
        "images": str(folder.resolve()),
        "validation": validation and str(validation.resolve()),
        "seed": seed,
    }
    images = read_image_folder(folder, channels, size)
    if validation is not None:
        held_out = read_image_folder(validation, channels, size)
        return TrainingImages(_read(images, progress), _read(held_out, progress), facts)
    if len(images) < 2:
        raise ValueError(f"{folder}: holds a single image; expected at least 2, one of them for validation")
    pixels = _read(images, progress)
    order = np.random.default_rng(seed).permutation(len(pixels))
    count = max(1, round(_VALIDATION_SHARE * len(pixels)))
    return TrainingImages(pixels[np.sort(order[count:])], pixels[np.sort(order[:count])], facts)


def _read(images: ImageFolder, progress: bool) -> Tensor:
    """Hold a folder's images in memory as bytes (N, C, H, W), for decoding them in each epoch takes long."""
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    for index in tqdm(range(len(images)), desc="reading", unit=" images", disable=not progress):
        pixels[index] = images.stored(index)
    return pixels
