"""Where a detector is: in a file of its own, or in the folder of its run. Imports nothing of the package."""

from __future__ import annotations

from pathlib import Path

DETECTOR = "detector.safetensors"
"""Of a finished run,"""
CHECKPOINT = "checkpoint.safetensors"
"""and of one that can go on."""


def detector_file(path: Path) -> Path:
    """The detector of a run's folder, or the path itself if it is no folder.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}; expected a folder that `gradcon train` made, or a detector's file"
        )
    if not path.is_dir():
        return path
    if not (path / DETECTOR).exists():
        unfinished = "; its run is not finished" if (path / CHECKPOINT).exists() else ""
        raise FileNotFoundError(f"there is no {DETECTOR} in {path}{unfinished}")
    return path / DETECTOR
