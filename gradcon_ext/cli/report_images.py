"""The images of `gradcon report`: their scores, and pictures of the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from gradcon_ext.cli.images_to_score import FilesToScore
from gradcon_ext.cli.maps import MAPS_AT_A_TIME, drawn_maps
from gradcon_ext.data.pixels import as_floats
from gradcon_ext.data.reading import FileImages, ImageFile
from gradcon_ext.detector.parts import losses_of, part_of
from gradcon_ext.report.content import ImageRow, Picture, Verdict
from gradcon_ext.report.place import brightest_place
from gradcon_ext.scoring.explanation import HasMaps
from gradcon_ext.scoring.image_scoring import ImageScorer
from gradcon_ext.scoring.overlay import Scale, as_png, common_scale, extents_of, overlay, picture
from gradcon_ext.scoring.scores import Scores

_LONGEST_SIDE = 256
"""Pixels of a picture; larger ones are shrunk."""
_MOST_IN_MEMORY = 4 * _LONGEST_SIDE
"""Pixels of a side of the maps that are in memory together."""


def score_files(scorer: ImageScorer, images: FilesToScore, folder: Path, batch_size: int) -> Iterator[ImageRow]:
    """Yield one row an image, in their order, with a score or why there is none; one batch is in memory.

    Args:
        scorer: a trained one.
        images: files in a folder.
        folder: from which on they are named.
        batch_size: files at a time.
    """
    done = 0
    for batch in images.batches(batch_size):
        scores = None if batch.images is None else scorer.score(batch.images, batch_size)
        scored = 0
        for problem in batch.problems:
            name = name_of(images.files[done], folder)
            done += 1
            if problem is None:
                assert scores is not None  # of the images without a problem
                yield _row(name, scores, scorer.part, scored)
                scored += 1
            else:
                yield ImageRow(name, error=problem)


def name_of(file: ImageFile, folder: Path) -> str:
    """The path of a file from a folder on, and its frame if that is not the first."""
    path = file.path.relative_to(folder) if file.path.is_relative_to(folder) else file.path
    return f"{path}, frame {file.frame}" if file.frame else str(path)


def draw(
    scorer: HasMaps, images: FilesToScore, folder: Path, numbers: Sequence[int]
) -> tuple[dict[int, list[Picture]], dict[str, Scale]]:
    """Return pictures of some images, by their numbers, and the scales of the heat maps in them, by their names.

    Args:
        scorer: a trained one.
        images: files in a folder.
        folder: from which on they are named.
        numbers: of the images to draw, whose maps are in memory together.
    """
    if not numbers:
        return {}, {}
    chosen = FileImages([images.files[number] for number in numbers], images.reader.preparation)
    maps: dict[str, list[Tensor]] = {}
    for part in drawn_maps(scorer, chosen, MAPS_AT_A_TIME):
        for name, values in part.items():
            maps.setdefault(name, []).extend(map(_shrunk, values))
    scales = {
        name: common_scale(extent for each in values for extent in extents_of(each[None]))
        for name, values in maps.items()
    }
    pictures = {}
    for row, number in enumerate(numbers):
        image, title = _shrunk(as_floats(chosen.stored(row))), name_of(chosen.files[row], folder)
        pictures[number] = [Picture(as_png(picture(image), _LONGEST_SIDE), "image", title)]
        for name, scale in scales.items():
            values = maps[name][row]
            heat_map = as_png(overlay(image, values, scale), _LONGEST_SIDE)
            alt = f"Heat map of {title}: {name}, highest {brightest_place(values)}"
            pictures[number].append(Picture(heat_map, name, alt))
    return pictures, scales


def _shrunk(values: Tensor) -> Tensor:
    """An image (C, H, W) or a map (H, W), brought to the longest side of a picture where it is far larger."""
    height, width = values.shape[-2:]
    scale = _MOST_IN_MEMORY / max(height, width)
    if scale >= 1:
        return values
    planes = values.reshape(1, -1, height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    shrunk = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return shrunk.reshape(*values.shape[:-2], *size)


def _row(name: str, scores: Scores, decides: str, index: int) -> ImageRow:
    losses = {part: float(column[index]) for part, column in losses_of(scores).items()}
    deciding = float(part_of(scores, decides)[index])
    if not isfinite(deciding):
        return ImageRow(name, error=f"its anomaly score is {deciding}")
    others = {part: loss for part, loss in losses.items() if part != decides}
    if scores.p_value is None or scores.is_outlier is None:
        return ImageRow(name, deciding, parts=others)
    verdict: Verdict = "outlier" if scores.is_outlier[index] else "inlier"
    return ImageRow(name, deciding, float(scores.p_value[index]), verdict, parts=others)
