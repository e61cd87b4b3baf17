"""The images of `gradcon report`: their scores, and pictures of the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gradcon_ext.cli.maps import MAPS_AT_A_TIME, drawn_maps
from gradcon_ext.data import ImageFolder
from gradcon_ext.detector.parts import losses_of
from gradcon_ext.report.content import ImageRow, Picture, Verdict
from gradcon_ext.report.place import brightest_place
from gradcon_ext.scoring.overlay import Scale, as_png, common_scale, extents_of, overlay, picture
from gradcon_ext.scoring.scorer import Scorer, Scores

_LONGEST_SIDE = 256
"""Pixels of a picture; larger ones are shrunk."""


def score_readable(scorer: Scorer, images: ImageFolder, folder: Path, batch_size: int) -> Iterator[ImageRow]:
    """Yield one row an image, in their order, with a score or why there is none; one batch is in memory.

    Args:
        scorer: a trained one.
        images: files in a folder.
        folder: from which on they are named.
        batch_size: files at a time.
    """
    for start in range(0, len(images), batch_size):
        paths = images.paths[start : start + batch_size]
        read = [_read(images, number) for number in range(start, start + len(paths))]
        readable = [image for image in read if isinstance(image, Tensor)]
        scores = scorer.score(torch.stack(readable)) if readable else None
        done = 0
        for path, image in zip(paths, read, strict=True):
            name = str(path.relative_to(folder))
            if isinstance(image, str):
                yield ImageRow(name, error=image)
            else:
                assert scores is not None
                yield _row(name, scores, done)
                done += 1


def draw(
    scorer: Scorer, images: ImageFolder, folder: Path, numbers: Sequence[int]
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
    chosen = ImageFolder([images.paths[number] for number in numbers], images.shape[0], images.shape[1:])
    parts = list(drawn_maps(scorer, chosen, MAPS_AT_A_TIME))
    maps = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    scales = {name: common_scale(extents_of(values)) for name, values in maps.items()}
    pictures = {}
    for row, number in enumerate(numbers):
        image, title = chosen.stored(row), str(chosen.paths[row].relative_to(folder))
        pictures[number] = [Picture(as_png(picture(image), _LONGEST_SIDE), "image", title)]
        for name, scale in scales.items():
            heat_map = as_png(overlay(image, maps[name][row], scale), _LONGEST_SIDE)
            alt = f"Heat map of {title}: {name}, highest {brightest_place(maps[name][row])}"
            pictures[number].append(Picture(heat_map, name, alt))
    return pictures, scales


def _read(images: ImageFolder, number: int) -> Tensor | str:
    """An image, or why it cannot be read."""
    try:
        return images.stored(number)
    except ValueError as error:
        return str(error).removeprefix(f"{images.paths[number]}: ")


def _row(name: str, scores: Scores, index: int) -> ImageRow:
    parts = {part: float(column[index]) for part, column in losses_of(scores).items() if part != "combined"}
    anomaly = float(scores.anomaly[index])
    if not scores.anomaly[index].isfinite():
        return ImageRow(name, error=f"its anomaly score is {anomaly}")
    if scores.p_value is None or scores.is_outlier is None:
        return ImageRow(name, anomaly, parts=parts)
    verdict: Verdict = "anomalous" if scores.is_outlier[index] else "normal"
    return ImageRow(name, anomaly, float(scores.p_value[index]), verdict, parts=parts)
