"""Masks of what is anomalous in images, in the layout of MVTec AD: `ground_truth/<defect>/<name>_mask.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gradcon_ext.data.reading.decoding import read_header
from gradcon_ext.data.reading.opening import open_image

_HALF = 127
_SHOWN = 5
"""Values that an error names."""


def mask_path(image: Path, images: Path, masks: Path) -> Path:
    """Return where the mask of an image is.

    Args:
        image: a file in `images`, at any depth.
        images: a folder with a folder for each defect, or the one of a single defect.
        masks: the folder of the masks, with a folder for each defect.

    Raises:
        FileNotFoundError: there is no such mask.
    """
    folder = image.relative_to(images).parent
    name = f"{image.stem}_mask.png"
    candidates = [masks / folder / name, masks / images.resolve().name / folder / name]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{image} has no mask: there is no {' and no '.join(map(str, candidates))}")
    return found


def read_mask(path: Path, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Read a mask, (H, W), upright, true where a pixel is brighter than half.

    Where one colour is everywhere and the opacity is not, the opacity is the mask.

    Args:
        path: of the file.
        size: height and width that it must have, those of its image.

    Raises:
        ValueError: it cannot be read as an image, has another size, or holds marks of which none is brighter than half.
    """
    given = read_header(path).size
    if given != size:
        raise ValueError(f"{path}: height and width are {given}; those of its image are {size}")
    try:
        with open_image(path) as file:
            values, marked = _marks(ImageOps.exif_transpose(file))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise ValueError(f"{path}: cannot be read as an image ({error})") from error
    if values.any() and not marked.any():
        raise ValueError(
            f"{path}: a mask marks what is brighter than half, and its values are {_some(np.unique(values))}: save it "
            "with 255 where the image is anomalous and 0 elsewhere"
        )
    return marked


def _marks(image: Image.Image) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """What tells where a mask marks its image, (H, W), and where that is more than half."""
    if image.mode.startswith(("I", "F")):
        return np.asarray(image), np.asarray(image.convert("L")) > _HALF
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opacity = np.asarray(image.getchannel("A"))
        colours = np.asarray(image.convert("RGB"))
        if (colours == colours[0, 0]).all() and opacity.min() < 255:
            return opacity, opacity > _HALF
    grey = np.asarray(image.convert("L"))
    return grey, grey > _HALF


def _some(values: npt.NDArray[Any]) -> str:
    shown = [f"{value:g}" for value in values[:_SHOWN]]
    return ", ".join(shown if len(values) <= _SHOWN else [*shown, "..."])
