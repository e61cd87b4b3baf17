"""Heat maps of images as files, for `gradcon score --maps`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.scoring.explanation import HasMaps
from gradcon_ext.scoring.overlay import Scale, as_png, common_scale, extents_of, overlay
from gradcon_ext.storage.files import replace_file

MAPS_AT_A_TIME = 64
"""Images whose maps are in memory; a score takes no such memory."""

_LONGEST_NAME = 200
"""Bytes; file systems take 255, and a name's end is still to come."""


def refuse_maps_folder(folder: Path) -> None:
    """Raise FileExistsError unless there is no such folder, or nothing in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"--maps {folder} is there already, and not an empty folder: give another")


def write_maps(
    scorer: HasMaps, images: ImageDataset, names: Sequence[str], folder: Path, batch_size: int
) -> dict[str, Scale]:
    """Write pictures of each image, NAME.residual.png and NAME.alignment.png, each kind on one scale.

    A scale is of all images, and known only when all have been seen. Not to keep their maps, they are computed twice.

    Args:
        scorer: a trained one.
        images: to draw.
        names: of the images, as `safe_names` takes them.
        folder: made if need be.
        batch_size: images in memory at a time.

    Returns:
        The scale of each kind of map that the model has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    extents: dict[str, list[tuple[float, float]]] = {}
    for maps in drawn_maps(scorer, images, batch_size):
        for name, values in maps.items():
            extents.setdefault(name, []).extend(extents_of(values))
    scales = {name: common_scale(each) for name, each in extents.items()}
    safe = safe_names(names)
    done = 0
    for maps in drawn_maps(scorer, images, batch_size):
        for name, values in maps.items():
            for row, value in enumerate(values, done):
                png = as_png(overlay(images.stored(row), value, scales[name]))
                with replace_file(folder / f"{safe[row]}.{name}.png") as temporary:
                    temporary.write_bytes(png)
        done += len(values)
    return scales


def safe_names(names: Sequence[str]) -> list[str]:
    """Return names for files, of no more than ASCII letters, digits and -._~%, different ones for different names.

    Args:
        names: paths of images, which are named by their path from the folder that all of them are in; or numbers.
    """
    paths = [os.path.abspath(name) for name in names]
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [_safe(os.path.relpath(path, common)) for path in paths]


def _safe(path: str) -> str:
    # Without ~, which is for shortened names alone.
    name = quote(os.fsencode(path), safe="").replace("~", "%7E")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return f"{name[: _LONGEST_NAME - 33]}~{digest}"


def drawn_maps(scorer: HasMaps, dataset: ImageDataset, batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the maps that are drawn, which those of single layers are not, batch by batch."""
    for maps in scorer.maps(dataset, batch_size):
        yield {name: values for name, values in maps.items() if "." not in name}
