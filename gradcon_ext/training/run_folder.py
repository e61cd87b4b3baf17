"""The folder of a training run: its checkpoint and its history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import CHECKPOINT
from gradcon_ext.storage.files import PARTIAL, replace_file
from gradcon_ext.storage.lock import locked
from gradcon_ext.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from gradcon_ext.training.run_contents import HISTORY, is_own, refuse_foreign, snapshot_epoch


class RunFolder:
    """Keeps `checkpoint.safetensors`, `history.jsonl` and snapshots of a run; keeps nothing without a path.

    Args:
        path: the folder; see `run_folder`.
        settings: what must be the same for a run to go on; what JSON can hold.

    Attributes:
        path: the folder, or None.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        self._settings = settings

    def load(self, state: TrainingState) -> None:
        """Bring a run that has not begun to the state in the checkpoint, if there is one.

        Raises:
            ValueError: the checkpoint is damaged, or of a run with other settings or another model.
        """
        if self.path is not None and (self.path / CHECKPOINT).exists():
            load_checkpoint(self.path / CHECKPOINT, state, self._settings)

    def save(self, state: TrainingState) -> None:
        """Write checkpoint and history, each by rename, and remove snapshots of epochs that the run has not reached.

        Those are of an earlier run, or of an attempt that was a dead start.
        """
        if self.path is not None:
            save_checkpoint(self.path / CHECKPOINT, state, self._settings)
            for epoch, path in snapshots(self.path).items():
                if epoch > state.epoch and is_own(path):
                    path.unlink(missing_ok=True)
        self.save_history(state)

    def save_history(self, state: TrainingState) -> None:
        """Write the history, one JSON object a line, by rename."""
        if self.path is not None:
            with replace_file(self.path / HISTORY) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in state.history))

    def save_snapshot(self, detector: Detector, epoch: int) -> None:
        """Write the detector of an epoch, by rename."""
        if self.path is not None:
            detector.save(self.path / f"epoch-{epoch:04d}.safetensors")


@contextmanager
def run_folder(
    path: Path | None, settings: dict[str, Any], resume: bool = False, overwrite: bool = False
) -> Iterator[RunFolder]:
    """Give the folder of a run to that run alone; it is made if need be.

    Args:
        path: the folder; None keeps nothing.
        settings: as of `RunFolder`.
        resume: see `refuse_foreign`.
        overwrite: see there too.

    Raises:
        FolderInUse: another run is at work there.
        ValueError: the folder holds what is not a run's.
    """
    if path is None:
        yield RunFolder(None, settings)
        return
    with locked(path):
        refuse_foreign(path, resume, overwrite)
        _remove_temporaries(path)
        yield RunFolder(path, settings)


def snapshots(folder: Path) -> dict[int, Path]:
    """Find the snapshots in the folder of a run: their files by epoch, in order."""
    found = [(snapshot_epoch(path), path) for path in folder.glob("epoch-*.safetensors")]
    return dict(sorted((epoch, path) for epoch, path in found if epoch is not None))


def last_attempt(folder: Path) -> list[dict[str, Any]]:
    """Read the history of a run's folder: its entries of epochs, of the attempt that it ended with."""
    lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
    epochs = [entry for entry in map(json.loads, lines) if entry.get("event") is None]
    return [entry for entry in epochs if entry["attempt"] == epochs[-1]["attempt"]]


def _remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of a run that was killed as it wrote."""
    token = PARTIAL + "[0-9a-f]" * 8
    for name in ("checkpoint.{}.safetensors", "history.{}.jsonl", "epoch-*.{}.safetensors", ".lock.{}.json"):
        pattern = f".{name.format(token)}"
        for temporary in folder.glob(pattern):
            temporary.unlink(missing_ok=True)
