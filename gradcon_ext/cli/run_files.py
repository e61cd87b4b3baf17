"""The files of a run's folder, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gradcon_ext.detector import Detector
from gradcon_ext.run_folder import CHECKPOINT, DETECTOR, HISTORY

EVALUATION = "evaluation.json"
EVALUATION_SCORES = "evaluation.csv"
EVALUATION_HISTOGRAM = "evaluation.png"

EVALUATIONS = (EVALUATION, EVALUATION_SCORES, EVALUATION_HISTOGRAM)
"""What `gradcon evaluate` writes."""

RUN_FILES = (DETECTOR, CHECKPOINT, HISTORY, *EVALUATIONS)
"""What `gradcon train` and `gradcon evaluate` write, and may remove."""


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


def holds_run(folder: Path) -> bool:
    """Whether a run was begun or finished in the folder."""
    return (folder / DETECTOR).exists() or (folder / CHECKPOINT).exists()


def refuse_used(folder: Path) -> None:
    """Raise FileExistsError if the folder holds a run, finished or not."""
    if holds_run(folder):
        state, further = (
            ("finished", "--resume --epochs N to train it further")
            if (folder / DETECTOR).exists()
            else ("unfinished", "--resume to go on with it")
        )
        raise FileExistsError(
            f"{folder} holds a run that is {state}: give {further}, --overwrite to start anew, or another --out"
        )


def refuse_to_replace(out: Path, sources: Iterable[Path]) -> None:
    """Raise FileExistsError if a file of scores would replace, or be taken for, anything but other scores.

    Args:
        out: the file to be written.
        sources: what the scores are made from, all of it there.
    """
    for path in (out, out.resolve()):  # of a symbolic link, the file that it points to is replaced
        if path.name in RUN_FILES:
            raise FileExistsError(f"--out {out} has the name of a file of a run; choose another")
    if not out.exists():
        return
    if any(out.samefile(source) for source in sources):
        raise FileExistsError(f"--out {out} is what the scores are made from")
    if out.resolve().suffix.lower() not in (".csv", ".jsonl"):
        raise FileExistsError(f"--out {out} is there already; only files ending in .csv or .jsonl are replaced")


def remove(folder: Path, *names: str) -> None:
    """Remove those of the files that are there."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
