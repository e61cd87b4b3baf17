"""Which masks `gradcon evaluate` compares maps with, and what it says of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gradcon_ext.data.masks import mask_path
from gradcon_ext.data.reading import FileImages, ImageFile, Preparation
from gradcon_ext.data.reading.lists import LIST_SUFFIXES
from gradcon_ext.scoring.pixel_evaluation import PixelEvaluation


def refuse_masks_of_a_list(args: argparse.Namespace) -> None:
    """Raise argparse.ArgumentError for `--masks` of images in a list, whose paths tell of no folder of a defect."""
    images: Path = args.outliers or args.images
    if args.masks is not None and images.suffix.lower() in LIST_SUFFIXES and images.is_file():
        raise argparse.ArgumentError(
            None, f"--masks goes with a folder, where each mask is found by the path of its image: {images} is a list"
        )


def masks_folder(args: argparse.Namespace, preparation: Preparation) -> Path | None:
    """Return the folder of masks: the one that was given, or that of MVTec AD's layout where there is one.

    Raises:
        ValueError: it was given, and the detector's images do not show all of their files.
    """
    given: Path | None = args.masks
    found = args.images / "ground_truth" if given is None and args.images is not None else None
    if given is None and (found is None or not found.is_dir()):
        return None
    if preparation.fit == "squash":
        return given or found
    problem = f"masks go with --fit squash alone; the detector was trained with --fit {preparation.fit}"
    if given is not None:
        raise ValueError(problem)
    _note(problem)
    return None


def with_masks(
    files: Sequence[ImageFile], preparation: Preparation, args: argparse.Namespace, masks: Path | None
) -> tuple[FileImages, list[Path | None]] | None:
    """Return images, and the mask of each outlier; None where there is no folder, or one in the layout lacks a mask.

    Raises:
        FileNotFoundError: a folder that was given lacks a mask.
    """
    if masks is None:
        return None
    root = args.outliers or args.images / "test"
    try:
        of_files = [mask_path(file.path, root, masks) if file.is_outlier else None for file in files]
    except FileNotFoundError as error:
        if args.masks is not None:
            raise
        _note(str(error))
        return None
    return FileImages(files, preparation), of_files


def report(pixels: PixelEvaluation) -> None:
    """Print metrics of pixels, and on standard error what they leave out."""
    if pixels.incomparable is None:
        print(f"\n{pixels.table()}")
    if pixels.left_out:
        count, first = len(pixels.left_out), pixels.left_out[0]
        print(
            f"Warning: masks that cannot be used, whose images are left out of the metrics of pixels: {count}, such as "
            f"{first}",
            file=sys.stderr,
        )
    if pixels.incomparable is not None:
        _note(pixels.incomparable)


def _note(problem: str) -> None:
    print(f"Note: no metrics of pixels: {problem}", file=sys.stderr)
