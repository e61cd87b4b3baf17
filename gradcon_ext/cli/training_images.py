"""The images that `gradcon train` learns from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.data.image_size import Size
from gradcon_ext.data.images import Images
from gradcon_ext.data.named_split import named_split
from gradcon_ext.data.reading import CachedImages, range_of

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainingImages:
    """Images to train on, and what is known of them, as JSON can hold it.

    Attributes:
        train: the images (n, C, H, W).
        validation: likewise, those that are held out.
        facts: what finds them again.
        preprocessing: how they were brought to what they are, beside channels and size.
    """

    train: Images
    validation: Images
    facts: dict[str, Any]
    preprocessing: dict[str, Any] = field(default_factory=dict)


def from_data_set(dataset: str, inlier: str, seed: int, size: Size, data_root: Path | None) -> TrainingImages:
    """One class of a named data set.

    Raises:
        FileNotFoundError: the data set's files are not there.
        ValueError: they are damaged, there is no such class, or no `data_root` though the data set needs one.
    """
    split = named_split(dataset, inlier, seed, size, data_root)
    return TrainingImages(split.train, split.validation, {"dataset": dataset, "inlier": split.inlier, "seed": seed})


def from_folder(folder: Path, validation: Path | None, seed: int, reader: ImageReader, cache: Path) -> TrainingImages:
    """A folder or list of images; without another for validation, 10 % of them are held out.

    Args:
        folder: what `find_images` takes.
        validation: another one.
        seed: decides which images are held out.
        reader: of the images. Where its preparation has no range, it is given that of the images of `folder`.
        cache: a folder for the images as they are read.

    Raises:
        OSError: no such folder, or the disk is full.
        ValueError: no images, a single one where some must be held out, or one that cannot be read.
    """
    # Resolved, so that a path that is spelled differently is the same data.
    facts = {
        "images": str(folder.resolve()),
        "validation": validation and str(validation.resolve()),
        "seed": seed,
    }
    files = reader.find(folder, "train")
    held_out = None if validation is None else reader.find(validation, "train")
    if held_out is None and len(files) < 2:
        raise ValueError(f"{folder}: holds a single image; expected at least 2, one of them for validation")
    if reader.preparation.range is None:
        found = range_of(files, reader.preparation.max_pixels, reader.workers)
        if found is None:
            reader.notes.append("Note: images of several bit depths, each read on its own full scale; see --range")
        reader.preparation = replace(reader.preparation, range=found)
    images = reader.cached(files, cache, "reading")
    if held_out is not None:
        parts = images, reader.cached(held_out, cache, "reading for validation")
    elif len(images) < 2:
        raise ValueError(f"{folder}: of {len(files)} images one can be read; expected at least 2")
    else:
        parts = split(images, seed)
    return TrainingImages(*parts, facts, reader.preparation.facts())


def split(images: CachedImages, seed: int) -> tuple[CachedImages, CachedImages]:
    """Part images in those to train on and those that are held out, each in the order that they have."""
    order = np.random.default_rng(seed).permutation(len(images))
    count = max(1, round(VALIDATION_SHARE * len(images)))
    return images.selected(np.sort(order[count:])), images.selected(np.sort(order[:count]))
