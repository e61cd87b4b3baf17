"""The images that `gradcon train` learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.data.held_out import held_out
from gradcon_ext.data.image_size import Size
from gradcon_ext.data.images import Images, as_image_dataset
from gradcon_ext.data.named_split import named_split
from gradcon_ext.data.reading.files import ImageFile, real_images
from gradcon_ext.data.reading.value_range import range_of_values
from gradcon_ext.scoring.cut import Cut

_HARM = {
    "validation": "the epoch that is kept is to be chosen by images that were not learned from",
    "calibration": "used for anything else, they do not tell how often new normal images are called outliers",
}


@dataclass(frozen=True)
class TrainingImages:
    """Images (n, C, H, W), and what is known of them, as JSON can hold it.

    Attributes:
        train: to learn from.
        validation: to choose by.
        calibration: for p-values and verdicts, and nothing else; None where there are to be none, or are too few.
        facts: what finds them again.
        preprocessing: how they were brought to what they are, beside channels and size.
    """

    train: Images
    validation: Images
    calibration: Images | None
    facts: dict[str, Any]
    preprocessing: dict[str, Any] = field(default_factory=dict)

    def in_tiles(self, cut: Cut, most: int, seed: int) -> TrainingImages:
        """Return the same with about that many random tiles to learn from, and as many an image to choose by."""
        share = len(as_image_dataset(self.validation)) / len(as_image_dataset(self.train))
        train = cut.random_tiles(self.train, most, seed)
        validation = cut.random_tiles(self.validation, max(1, round(most * share)), seed)
        return replace(self, train=train, validation=validation)


def from_data_set(
    dataset: str, inlier: str, seed: int, size: Size, data_root: Path | None, calibrate: bool
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
    others: Mapping[str, Path | None],
    seed: int,
    reader: ImageReader,
    cache: Path | None,
    calibrate: bool = False,
) -> TrainingImages:
    """A folder or list of images, some of which are held out where there are no others for it; see `held_out`.

    Args:
        folder: what `find_images` takes.
        others: what is to be for "validation" and "calibration" instead of a part of `folder`.
        seed: decides which images are held out.
        reader: of the images. Where its preparation has no range, it is given that of the images to learn from.
        cache: a folder for the images as they are read; without one they are read whenever they are asked for.
        calibrate: whether to hold images out for calibration where there are no others for it.

    Raises:
        OSError: no such folder, or the disk is full.
        ValueError: no images, a single one where some must be held out, or one that cannot be read.
    """
    files = reader.find(folder, "train")
    given = {name: reader.find(path, "train") for name, path in others.items() if path is not None}
    reader.warnings.extend(_shared(files, given))
    if "validation" not in given and len(files) < 2:
        raise ValueError(f"{folder}: holds a single image; expected at least 2, one of them for validation")
    split = partial(
        held_out,
        seed=seed,
        validation="validation" not in given,
        calibration=calibrate and "calibration" not in given,
    )
    if reader.preparation.range is None:
        values = list(reader.values(files))
        found = range_of_values(values, split(len(values)).train if len(values) > 1 else None)
        if found is None:
            reader.notes.append("Note: images of several bit depths, each read on its own full scale; see --range")
        reader.preparation = replace(reader.preparation, range=found)
    images = reader.images(files, cache, "reading")
    if "validation" not in given and len(images) < 2:
        raise ValueError(f"{folder}: of {len(files)} images one can be read; expected at least 2")
    parts = split(len(images))
    held = {"validation": images.selected(parts.validation), "calibration": images.selected(parts.calibration)}
    held |= {name: reader.images(of_other, cache, f"reading for {name}") for name, of_other in given.items()}
    calibration = held["calibration"] if len(held["calibration"]) else None
    # Resolved, so that a path that is spelled differently is the same data.
    paths = {name: path and str(path.resolve()) for name, path in others.items()}
    facts: dict[str, Any] = {"images": str(folder.resolve()), "validation": paths.get("validation"), "seed": seed}
    if calibration is not None:  # without, they are those of a version that knew of no calibration
        facts["calibration"] = paths.get("calibration") or len(parts.calibration)
    return TrainingImages(
        images.selected(parts.train), held["validation"], calibration, facts, reader.preparation.facts()
    )


def _shared(files: Sequence[ImageFile], given: Mapping[str, Sequence[ImageFile]]) -> Iterator[str]:
    """Yield a warning for each other use of images, if some of them are used before it."""
    used = {"training": real_images(files)}
    for name, of_other in given.items():
        images = real_images(of_other)
        for before, its_images in used.items():
            if shared := len(images & its_images):
                yield (
                    f"Warning: {shared} of {len(images)} images of --{name} are among those of {before}: {_HARM[name]}"
                )
        used[name] = images
