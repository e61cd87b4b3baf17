"""Masks of what is anomalous in images, in the layout of MVTec AD: `ground_truth/<defect>/<name>_mask.png`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from gradcon_ext.data.reading.decoding import read_header
from gradcon_ext.data.reading.opening import open_image


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

    Args:
        path: of the file.
        size: height and width that it must have, those of its image.

    Raises:
        ValueError: it cannot be read as an image, or has another size.
    """
    given = read_header(path).size
    if given != size:
        raise ValueError(f"{path}: height and width are {given}; those of its image are {size}")
    try:
        with open_image(path) as file:
            return np.asarray(ImageOps.exif_transpose(file).convert("L")) > 127
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise ValueError(f"{path}: cannot be read as an image ({error})") from error
