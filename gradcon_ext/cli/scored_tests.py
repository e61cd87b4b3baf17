"""Images of which it is known whether they are outliers, scored for `gradcon evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from os.path import realpath
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcon_ext.cli.image_reader import ImageReader, own_pixel_limit
from gradcon_ext.cli.images_to_score import FilesToScore, file_labels
from gradcon_ext.cli.masks_of_test import masks_folder, with_masks
from gradcon_ext.cli.reading_options import reader_of
from gradcon_ext.cli.rows import Row
from gradcon_ext.data.named_split import named_split
from gradcon_ext.data.reading import FileImages, ImageFile, Preparation, find_images
from gradcon_ext.detector.columns import ERROR
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.image_scoring import ImageScorer
from gradcon_ext.scoring.scores import Scores, joined

_Identities: TypeAlias = set[tuple[str, int | None]]


@dataclass(frozen=True)
class ScoredTest:
    """Scores of N test images, with what is known of them.

    Attributes:
        scores: of the images.
        is_outlier: (N,).
        labels: columns, each with one entry an image.
        title: what is tested, in words.
        facts: where the images come from, as JSON can hold it.
        folders: of each image, the one among those of the outliers, such as a kind of defect; None of others.
        failed: rows of further images, which cannot be read.
        images: of the scores, and the file of each one's mask, if it has one; None where there are no masks.
        masks: their folder.
        warnings: sentences on what makes metrics too good.
    """

    scores: Scores
    is_outlier: npt.NDArray[np.bool_]
    labels: dict[str, Sequence[Any]]
    title: str
    facts: dict[str, Any]
    folders: Sequence[str | None]
    failed: list[Row] = field(default_factory=list)
    images: tuple[FileImages, list[Path | None]] | None = None
    masks: Path | None = None
    warnings: Sequence[str] = ()


def of_data_set(args: argparse.Namespace, detector: Detector, scorer: ImageScorer) -> ScoredTest:
    """Score the test images of the data set that a detector was trained on.

    Raises:
        FileNotFoundError: the data set's files are not there.
        ValueError: they are damaged, or the detector was not trained on a data set.
    """
    facts = detector.training.get("data", {})
    if not isinstance(facts, dict) or facts.keys() - {"calibration"} != {"dataset", "inlier", "seed"}:
        raise ValueError(
            f"{args.run_path} was not trained on a named data set: give --images, or --inliers and --outliers"
        )
    facts = {name: fact for name, fact in facts.items() if name != "calibration"}
    split = named_split(**facts, size=detector.preprocessing["size"], data_root=args.data_root)
    return ScoredTest(
        scores=scorer.score(split.test, args.batch_size),
        is_outlier=split.test_is_outlier,
        labels={"index": split.test_indices.tolist(), "class": split.test_classes},
        title=f"{facts['dataset']}: class {facts['inlier']} against the others",
        facts=facts,
        folders=[None] * len(split.test),
    )


def of_files(args: argparse.Namespace, detector: Detector, scorer: ImageScorer) -> ScoredTest:
    """Score images of files as they are read, and tell on standard error what is odd about them.

    Raises:
        OSError: a file or folder is not there.
        ValueError: no images, none that can be read, or one of which it is not known whether it is an outlier.
    """
    preparation = replace(Preparation.read(detector.preprocessing), max_pixels=args.max_pixels)
    masks = masks_folder(args, preparation)
    reader = reader_of(args, preparation)
    with own_pixel_limit():
        files = _labelled_files(args, reader)
        images = FilesToScore(files, reader)
        batches = images.batches(args.batch_size)
        parts = [scorer.score(batch.images, args.batch_size) for batch in batches if batch.images is not None]
    problems = {reading.file: reading.error for reading in reader.unreadable}
    if not parts:
        raise ValueError(f"none of {len(files)} images can be read: {problems[files[0]]}")
    reader.report()
    good, bad = [file for file in files if file not in problems], list(problems)
    named = {"images": args.images} if args.images else {"inliers": args.inliers, "outliers": args.outliers}
    return ScoredTest(
        scores=joined(parts),
        is_outlier=_are_outliers(good),
        labels=file_labels(good, images.has_frames),
        title=" against ".join(map(str, named.values())),
        facts={name: str(path) for name, path in named.items()},
        images=with_masks(good, preparation, args, masks),
        masks=masks,
        folders=[_folder(file, args) for file in good],
        warnings=list(_of_training(good, detector)),
        failed=_failed_rows(
            bad, images.has_frames, [error.problem for error in problems.values() if error is not None]
        ),
    )


def _failed_rows(files: Sequence[ImageFile], has_frames: bool, problems: Sequence[str]) -> list[Row]:
    outliers = _are_outliers(files).astype(int).tolist()
    columns = {**file_labels(files, has_frames), "is_outlier": outliers, ERROR: problems}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _are_outliers(files: Sequence[ImageFile]) -> npt.NDArray[np.bool_]:
    return np.array([file.is_outlier for file in files], bool)


def _labelled_files(args: argparse.Namespace, reader: ImageReader) -> list[ImageFile]:
    if args.images is None:
        inliers, outliers = (reader.find(folder) for folder in (args.inliers, args.outliers))
        normal = _identities(inliers)
        outliers = [file for file in outliers if not _is_among(file, normal)]
        if not outliers:
            raise ValueError(f"{args.outliers} holds no image beside those of {args.inliers}")
        labelled = [replace(file, is_outlier=False) for file in inliers]
        return labelled + [replace(file, is_outlier=True) for file in outliers]
    files = reader.find(args.images, "test")
    unknown = [file for file in files if file.is_outlier is None]
    if unknown:
        raise ValueError(f"{args.images} does not say whether {unknown[0].path} is an outlier")
    return files


def _folder(file: ImageFile, args: argparse.Namespace) -> str | None:
    """The folder of an outlier among those in the folder of outliers; None of one that is in none of them."""
    root = args.outliers or args.images / "test"
    if not file.is_outlier or not file.path.is_relative_to(root):
        return None
    parts = file.path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else None


def _of_training(files: Sequence[ImageFile], detector: Detector) -> Iterator[str]:
    """Yield a sentence for each folder or list that the detector was made with, if inliers are among its images."""
    inliers = [file for file in files if not file.is_outlier]
    facts = detector.training.get("data")
    for name, what in {"images": "training", "validation": "validation", "calibration": "calibration"}.items():
        path = facts.get(name) if isinstance(facts, dict) else None
        if isinstance(path, str) and (used := _count_among(inliers, _trained_on(path))):
            yield (
                f"{used} of {len(inliers)} inliers are images of {path}, which {what} has used: metrics of new images "
                "will be worse"
            )


def _trained_on(path: str) -> _Identities:
    try:
        return _identities(find_images(path, "train").files)
    except (OSError, ValueError):  # it is not here any more
        return set()


def _identities(files: Iterable[ImageFile]) -> _Identities:
    """Real paths, and the frames that are asked for; None stands for any frame of a file."""
    return {(realpath(file.path), file.frame if file.names_frame else None) for file in files}


def _is_among(file: ImageFile, identities: _Identities) -> bool:
    path = realpath(file.path)
    return (path, None) in identities or (path, file.frame) in identities


def _count_among(files: Sequence[ImageFile], identities: _Identities) -> int:
    return sum(_is_among(file, identities) for file in files)
