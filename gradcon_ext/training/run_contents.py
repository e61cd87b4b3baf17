"""What in the folder of a run is a run's own: told by name and content, so that nothing else is ever replaced."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from gradcon_ext.detector.place import CHECKPOINT, DETECTOR
from gradcon_ext.storage.header import kind_of

HISTORY = "history.jsonl"
CONFIG = "train.toml"
CONFIG_HEAD = "# Options of `gradcon train`"
"""How the first line of a configuration begins."""
EVALUATION = "evaluation.json"
EVALUATION_SCORES = "evaluation.csv"
EVALUATION_HISTOGRAM = "evaluation.png"

_SNAPSHOT = re.compile(r"epoch-([0-9]{4,})\.safetensors")

_PNG = b"\x89PNG\r\n\x1a\n"
_DPI = struct.pack(">IIB", 5906, 5906, 1)
"""150 dots an inch both ways, as PNG has it: by the metre."""

_LONGEST_LINE = 2**20


def is_own(path: Path) -> bool:
    """Whether a run, or its evaluation, has written this file; a symbolic link is nobody's but the user's."""
    check = _CHECKS.get(path.name) or (_is_snapshot if _SNAPSHOT.fullmatch(path.name) else None)
    if check is None or path.is_symlink() or not path.is_file():
        return False
    return check(path)


def snapshot_epoch(path: Path) -> int | None:
    """The epoch that a snapshot's name tells; None of another name."""
    match = _SNAPSHOT.fullmatch(path.name)
    return int(match[1]) if match else None


def holds_run(folder: Path) -> bool:
    """Whether a run was begun or finished in the folder."""
    return is_own(folder / DETECTOR) or is_own(folder / CHECKPOINT)


def refuse_foreign(
    folder: Path,
    resume: bool = False,
    overwrite: bool = False,
    option: str = "overwrite=True",
    written: Collection[str] = (DETECTOR, CHECKPOINT, HISTORY),
) -> None:
    """Raise ValueError if a run in this folder would replace, or come to lie among, files of somebody else.

    Hidden files do not count, and are never touched.

    Args:
        folder: may be missing.
        resume: whether the run goes on with the one that is there, next to whatever its user has put there.
        overwrite: whether it may lie among others' files. It never replaces one.
        option: what an error names as the way to say so.
        written: names of the files that it writes, beside snapshots.
    """
    foreign = [path for path in visible_files(folder) if not is_own(path)]
    for path in foreign:
        if path.name in written or snapshot_epoch(path) is not None:
            what = "a symbolic link" if path.is_symlink() else "not a file of a run"
            raise ValueError(f"{path} is {what}, and a run would replace it: move it, or take another folder")
    if foreign and not (overwrite or (resume and holds_run(folder))):
        raise ValueError(
            f"{folder} holds what is not a run's, such as {foreign[0].name}: take another folder, "
            f"or give {option} to put a run next to it"
        )


def refuse_to_replace_evaluation(folder: Path) -> None:
    """Raise FileExistsError if a file with the name of an evaluation's was not written by one."""
    for name in EVALUATIONS:
        path = folder / name
        if (path.exists() or path.is_symlink()) and not is_own(path):
            raise FileExistsError(f"{path} was not written by `gradcon evaluate`: move it, or give another --out")


def remove_own(folder: Path, *names: str) -> None:
    """Remove those of the files that are there and a run's own."""
    for name in names:
        if is_own(folder / name):
            (folder / name).unlink()


def visible_files(folder: Path) -> list[Path]:
    """What is in a folder, which may be missing, but for hidden files."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _is_snapshot(path: Path) -> bool:
    return kind_of(path) == "detector"


def _is_history(path: Path) -> bool:
    entry = _json(_first_line(path))
    # A run that has not finished an epoch has an empty history.
    return path.stat().st_size == 0 or (isinstance(entry, dict) and {"epoch", "attempt", "seed"} <= entry.keys())


def _is_evaluation(path: Path) -> bool:
    content = _json(path.read_bytes()) if path.stat().st_size <= _LONGEST_LINE else None
    return isinstance(content, dict) and {"auroc", "inliers", "outliers"} <= content.keys()


def _is_scores(path: Path) -> bool:
    columns = _first_line(path).decode("utf-8", "replace").strip().split(",")
    return {"is_outlier", "anomaly", "reconstruction", "latent", "gradient"} <= set(columns)


def _is_histogram(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(1024)
    if not start.startswith(_PNG):
        return False
    return b"Software\0gradcon_ext" in start or (_is_unnamed_histogram(start) and _is_evaluated(path.parent))


def _is_unnamed_histogram(start: bytes) -> bool:
    """Whether this is a drawing as earlier versions left it, which did not sign it: three or four panels, 150 dpi."""
    sizes = [struct.pack(">II", 540 * panels, 540) for panels in (3, 4)]
    return b"Software\0Matplotlib" in start and start[16:24] in sizes and b"pHYs" + _DPI in start


def _is_evaluated(folder: Path) -> bool:
    return is_own(folder / EVALUATION) and is_own(folder / EVALUATION_SCORES)


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(_LONGEST_LINE)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_CHECKS: Mapping[str, Callable[[Path], bool]] = {
    DETECTOR: _is_snapshot,
    CHECKPOINT: lambda path: kind_of(path) == "checkpoint",
    HISTORY: _is_history,
    CONFIG: lambda path: _first_line(path).startswith(CONFIG_HEAD.encode()),
    EVALUATION: _is_evaluation,
    EVALUATION_SCORES: _is_scores,
    EVALUATION_HISTOGRAM: _is_histogram,
}

EVALUATIONS = (EVALUATION, EVALUATION_SCORES, EVALUATION_HISTOGRAM)
"""What `gradcon evaluate` writes."""
