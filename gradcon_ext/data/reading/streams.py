"""Many files, decoded and prepared several at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import decode
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import Preparation


@dataclass(frozen=True)
class Reading:
    """What came of one image.

    Attributes:
        file: it was read from.
        pixels: (C, H, W), uint8 from 0 to 255 or float32 from 0 to 1; None where it cannot be read.
        error: why it cannot be read; None where it can.
        beyond: least and greatest value of an image that leaves the range, where it was clipped; None of any other.
        frames: how many the file has.
    """

    file: ImageFile
    pixels: Tensor | None
    error: UnreadableImage | None = None
    beyond: tuple[float, float] | None = None
    frames: int = 1


def read_image(file: ImageFile, preparation: Preparation) -> Reading:
    """Read one image; raises nothing for a bad file."""
    try:
        decoded = decode(file.path, file.frame, max_pixels=preparation.max_pixels, enough=preparation.enough)
    except UnreadableImage as error:
        return Reading(file, None, error)
    try:
        prepared = preparation.prepare(decoded)
    except (ValueError, MemoryError) as error:
        problem = f"cannot be read as an image ({error or type(error).__name__})"
        return Reading(file, None, UnreadableImage(file.path, problem))
    return Reading(file, torch.from_numpy(prepared.pixels), None, prepared.beyond, decoded.frames)


def read_images(files: Iterable[ImageFile], preparation: Preparation, workers: int | None = None) -> Iterator[Reading]:
    """Read images several at a time, in their order and in bounded memory.

    Args:
        files: of the images.
        preparation: what is done to each.
        workers: threads; as many as there are processors by default.
    """
    return in_order(partial(read_image, preparation=preparation), files, workers, preparation.ahead)
