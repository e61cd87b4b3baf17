"""A file that was exported, ready to score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradcon_ext.detector.stored_chain import Array


@dataclass(frozen=True)
class Opened:
    """A program.

    Attributes:
        image_shape: (C, H, W) of the images it takes.
        in_bytes: whether it takes them as uint8; as floating point from 0 to 1 otherwise.
        score: makes the parts of the scores of uint8 images (N, C, H, W), by their names, whichever it takes; raises
            ValueError for images of another shape.
    """

    image_shape: tuple[int, ...]
    in_bytes: bool
    score: Callable[[Array], dict[str, Array]]
