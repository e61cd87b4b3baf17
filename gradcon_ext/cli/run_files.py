"""The files of a run's folder, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.reading import Preparation
from gradcon_ext.data.reading.preparation_facts import IMAGE
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import CHECKPOINT, DETECTOR, detector_file
from gradcon_ext.storage.lock import refuse_in_use
from gradcon_ext.training.run_contents import CONFIG, EVALUATIONS, HISTORY, holds_run, refuse_foreign

_OF_TRAINING = (DETECTOR, CHECKPOINT, HISTORY, CONFIG)

RUN_FILES = (*_OF_TRAINING, *EVALUATIONS)
"""What `gradcon train` and `gradcon evaluate` write, and may remove."""


def load_detector(path: Path) -> Detector:
    """Load a detector from a run's folder, or from its own file.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
        ValueError: the file is damaged or no detector, or it does not say what images it takes, or not rightly.
    """
    file = detector_file(path)
    detector = Detector.load(file)
    if not {"channels", "size"} <= detector.preprocessing.keys():
        raise ValueError(f"{file} does not say which channels and size it takes; use it from Python")
    _check_preprocessing(file, detector)
    return detector


def _check_preprocessing(file: Path, detector: Detector) -> None:
    """Raise ValueError if it is unknown how images are prepared, or to another shape than the model takes."""
    try:
        preparation = Preparation.read(detector.preprocessing)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    facts = detector.preprocessing
    if "features" in facts and not {"tiles", IMAGE} <= facts.keys():
        raise ValueError(f"{file} does not say how images are brought to its network of features; use it from Python")
    if "tiles" in facts and "features" not in facts and preparation.channels != facts["channels"]:
        raise ValueError(f"{file} says that its images have {preparation.channels} channels, and its tiles others")
    given = (facts["channels"], *height_width(facts["size"]))
    known: Any = detector.model.architecture  # without a model from elsewhere, all that `Detector.load` builds have one
    expected = (known["channels"], *known["size"])
    if given != expected:
        raise ValueError(f"{file} says that its images are {given}, and its model takes {expected}")


def refuse_used(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raise an exception unless a run may begin, or go on, in the folder.

    Raises:
        FolderInUse: a run is at work there.
        FileExistsError: it holds a run, finished or not, which is to be neither resumed nor overwritten.
        ValueError: it holds files of somebody else; see `refuse_foreign`.
    """
    refuse_in_use(folder)
    if holds_run(folder) and not (resume or overwrite):
        state, further = (
            ("finished", "--resume --epochs N to train it further")
            if (folder / DETECTOR).exists()
            else ("unfinished", "--resume to go on with it")
        )
        raise FileExistsError(
            f"{folder} holds a run that is {state}: give {further}, --overwrite to start anew, or another --out"
        )
    refuse_foreign(folder, resume, overwrite, "--overwrite", _OF_TRAINING)


def refuse_to_replace(out: Path, sources: Iterable[Path]) -> None:
    """Raise FileExistsError if a file of scores would replace, or be taken for, anything but other scores.

    Args:
        out: the file to be written.
        sources: what the scores are made from, all of it there.
    """
    for path in (out, out.resolve()):
        if path.name in RUN_FILES:
            raise FileExistsError(f"--out {out} has the name of a file of a run; choose another")
    if not (out.exists() or out.is_symlink()):
        return
    if out.exists() and any(out.samefile(source) for source in sources):
        raise FileExistsError(f"--out {out} is what the scores are made from")
    if out.resolve().suffix.lower() not in (".csv", ".jsonl"):
        raise FileExistsError(f"--out {out} is there already; only files ending in .csv or .jsonl are replaced")
    if out.is_symlink():
        raise FileExistsError(f"--out {out} is a symbolic link; give the file that it points to, {out.resolve()}")


def refuse_unwritable(option: str, folder: Path) -> None:
    """Raise OSError, before anything is computed, unless files can be written to a folder, or it can be made.

    Args:
        option: that names the folder.
        folder: may be missing, and the folders that it is to lie in.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(f"{option} {folder}: {there} is no folder; give another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{option} {folder}: nothing can be written to the folder {there}; give another")
