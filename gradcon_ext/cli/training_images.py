"""The images that `gradcon train` learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from gradcon_ext.data import ImageFolder, read_image_folder
from gradcon_ext.data.held_out import held_out
from gradcon_ext.data.images import Images
from gradcon_ext.data.named_split import named_split


@dataclass(frozen=True)
class TrainingImages:
    """Images (n, C, H, W), and the facts that find them again, as JSON can hold them.

    Attributes:
        train: to learn from.
        validation: to choose by.
        calibration: for p-values and verdicts, and nothing else; None where there are to be none, or are too few.
        facts: of where they come from.
    """

    train: Images
    validation: Images
    calibration: Images | None
    facts: dict[str, Any]


def from_data_set(
    dataset: str, inlier: str, seed: int, size: int, data_root: Path | None, calibrate: bool
) -> TrainingImages:
    """One class of a named data set; with `calibrate`, calibration images are taken from those to learn from.

    Raises:
        FileNotFoundError: the data set's files are not there.
        ValueError: they are damaged, there is no such class, or no `data_root` though the data set needs one.
    """
    split = named_split(dataset, inlier, seed, size, data_root)
    facts = {"dataset": dataset, "inlier": split.inlier, "seed": seed}
    if not calibrate:
        return TrainingImages(split.train, split.validation, None, facts)
    parts = held_out(len(split.train), seed, validation=False)
    facts["calibration"] = len(parts.calibration)
    return TrainingImages(split.train[parts.train], split.validation, split.train[parts.calibration], facts)


def from_folder(
    folder: Path,
    validation: Path | None,
    seed: int,
    channels: int,
    size: int,
    progress: bool,
    calibration: Path | None = None,
    calibrate: bool = False,
) -> TrainingImages:
    """A folder of images, some of which are held out where there is no other folder for it; see `held_out`.

    Args:
        folder: searched in depth.
        validation: another folder.
        seed: decides which images are held out.
        channels: 1 for grey, 3 for colour.
        size: height and width that the images are resized to.
        progress: whether to show a progress bar.
        calibration: another folder for calibration.
        calibrate: whether to hold images out for calibration where there is no other folder for it.

    Raises:
        OSError: no such folder.
        ValueError: no images, a single one where some must be held out, or one that cannot be read.
    """
    images = read_image_folder(folder, channels, size)
    others = {
        name: read_image_folder(path, channels, size)
        for name, path in (("validation", validation), ("calibration", calibration))
        if path is not None
    }
    if len(images) < 2 and validation is None:
        raise ValueError(f"{folder}: holds a single image; expected at least 2, one of them for validation")
    parts = held_out(len(images), seed, validation is None, calibrate and calibration is None)
    pixels = _read(images, progress)
    held = {"validation": pixels[parts.validation], "calibration": pixels[parts.calibration]}
    held |= {name: _read(other, progress) for name, other in others.items()}
    # Resolved, so that a path that is spelled differently is the same data.
    facts = {"images": str(folder.resolve()), "validation": validation and str(validation.resolve()), "seed": seed}
    if len(held["calibration"]):  # without, they are those of a version that knew of no calibration
        facts["calibration"] = str(calibration.resolve()) if calibration else len(parts.calibration)
    return TrainingImages(
        pixels[parts.train], held["validation"], held["calibration"] if len(held["calibration"]) else None, facts
    )


def _read(images: ImageFolder, progress: bool) -> Tensor:
    """Hold a folder's images in memory as bytes (N, C, H, W), for decoding them in each epoch takes long."""
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    for index in tqdm(range(len(images)), desc="reading", unit=" images", disable=not progress):
        pixels[index] = images.stored(index)
    return pixels
