"""The folder of a training run: its checkpoint and its history."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gradcon_ext.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from gradcon_ext.detector import Detector
from gradcon_ext.files import replace_file

_SNAPSHOT = re.compile(r"epoch-([0-9]{4,})")


CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.jsonl"
DETECTOR = "detector.safetensors"
"""Of a finished run; written by whoever trains it."""


class RunFolder:
    """Keeps `checkpoint.safetensors`, `history.jsonl` and snapshots of a run; keeps nothing without a path.

    Args:
        path: the folder; made if need be.
        settings: what must be the same for a run to go on; what JSON can hold.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path = path
        self._settings = settings
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
            _remove_temporaries(path)

    def load(self, state: TrainingState) -> None:
        """Bring a run that has not begun to the state in the checkpoint, if there is one.

        Raises:
            ValueError: the checkpoint is damaged, or of a run with other settings or another model.
        """
        if self._path is not None and (self._path / CHECKPOINT).exists():
            load_checkpoint(self._path / CHECKPOINT, state, self._settings)

    def save(self, state: TrainingState) -> None:
        """Write checkpoint and history, each by rename, and remove snapshots of epochs that the run has not reached.

        Those are of an earlier run, or of an attempt that was a dead start.
        """
        if self._path is not None:
            save_checkpoint(self._path / CHECKPOINT, state, self._settings)
            for epoch, path in snapshots(self._path).items():
                if epoch > state.epoch:
                    path.unlink(missing_ok=True)
        self.save_history(state)

    def save_history(self, state: TrainingState) -> None:
        """Write the history, one JSON object a line, by rename."""
        if self._path is not None:
            with replace_file(self._path / HISTORY) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in state.history))

    def save_snapshot(self, detector: Detector, epoch: int) -> None:
        """Write the detector of an epoch, by rename."""
        if self._path is not None:
            detector.save(self._path / f"epoch-{epoch:04d}.safetensors")


def snapshots(folder: Path) -> dict[int, Path]:
    """Find the snapshots in the folder of a run: their files by epoch, in order."""
    matches = [(_SNAPSHOT.fullmatch(path.stem), path) for path in folder.glob("epoch-*.safetensors")]
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of a run that was killed as it wrote."""
    token = "[0-9a-f]" * 8  # see `replace_file`
    for name in ("checkpoint.{}.safetensors", "history.{}.jsonl", "epoch-*.{}.safetensors"):
        pattern = f".{name.format(token)}"
        for temporary in folder.glob(pattern):
            temporary.unlink(missing_ok=True)
