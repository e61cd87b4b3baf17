"""What a search for images has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path


@dataclass(frozen=True)
class ImageFile:
    """One image: a frame of a file.

    Attributes:
        path: of the file.
        frame: which of its frames, counted from 0.
        is_outlier: whether it is known to be anomalous; None where nothing tells.
        names_frame: whether it is this frame that was asked for, by a list or as one of all; `--frames` says otherwise
            which one is read.
    """

    path: Path
    frame: int = 0
    is_outlier: bool | None = None
    names_frame: bool = False


@dataclass(frozen=True)
class Ignored:
    """What lies among images and is not read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """Images in a stated order, and what was ignored on the way.

    Attributes:
        files: the images.
        ignored: other files, in order.
        layout: where the images come from, in words.
    """

    files: list[ImageFile]
    ignored: list[Ignored]
    layout: str


def real_images(files: Iterable[ImageFile]) -> set[tuple[str, int]]:
    """Tell images apart whatever the links that lead to them: by the real path of the file, and the frame."""
    return {(realpath(file.path), file.frame) for file in files}
