"""The files of a run's folder, by their names."""

from __future__ import annotations

from pathlib import Path

from gradcon_ext.detector import Detector

DETECTOR = "detector.safetensors"
CHECKPOINT = "checkpoint.safetensors"
EVALUATION = "evaluation.json"
SCORES = "scores.csv"
HISTOGRAM = "histogram.png"

EVALUATIONS = (EVALUATION, SCORES, HISTOGRAM)
"""What `gradcon evaluate` writes."""


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


def load_detector(path: Path) -> Detector:
    """Load a detector from a run's folder, or from its own file.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
        ValueError: the file is damaged or no detector, or it does not say what images it takes.
    """
    file = detector_file(path)
    detector = Detector.load(file)
    if not {"channels", "size"} <= detector.preprocessing.keys():
        raise ValueError(f"{file} does not say which channels and size it takes; use it from Python")
    return detector


def refuse_used(folder: Path) -> None:
    """Raise FileExistsError if the folder holds a run, finished or not."""
    for name, state in ((DETECTOR, "finished"), (CHECKPOINT, "unfinished")):
        if (folder / name).exists():
            raise FileExistsError(
                f"{folder} holds a run that is {state}: give --resume to go on with it, --overwrite to start anew, "
                "or another --out"
            )


def remove(folder: Path, *names: str) -> None:
    """Remove those of the files that are there."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
