"""How long a training run goes on, and after which epochs it keeps something."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gradcon_ext.data.whole_numbers import is_whole
from gradcon_ext.training.checkpoint import TrainingState


@dataclass(frozen=True)
class Pace:
    """See the arguments of `Trainer` with the same names."""

    epochs: int
    patience: int | None
    checkpoint_every: int
    snapshot_every: int | Collection[int] | None
    snapshot_best: Collection[int]

    def check(self, has_folder: bool) -> None:
        """Raise ValueError for what is out of range, or for snapshots without a folder to keep them in."""
        check_whole("epochs", self.epochs, 1)
        check_whole("checkpoint_every", self.checkpoint_every, 1)
        if self.patience is not None:
            check_whole("patience", self.patience, 1)
        if self.snapshot_every is not None and not isinstance(self.snapshot_every, Collection):
            check_whole("snapshot_every", self.snapshot_every, 1)
        of_their_own = self.snapshot_every if isinstance(self.snapshot_every, Collection) else ()
        for name, epochs in {"snapshot_every": of_their_own, "snapshot_best": self.snapshot_best}.items():
            if not isinstance(epochs, Collection) or not all(is_whole(each, 1) for each in epochs):
                raise ValueError(f"{name} must be a collection of integers of at least 1, got {epochs!r}")
        wanted = {"snapshot_every": self.snapshot_every is not None, "snapshot_best": bool(self.snapshot_best)}
        for name, is_wanted in wanted.items():
            if is_wanted and not has_folder:
                raise ValueError(f"{name} needs a folder: give Trainer an `out`")

    def is_over(self, state: TrainingState) -> bool:
        """Whether the attempt has taken its last epoch."""
        if self.patience is not None and state.best is not None and state.epoch - state.best.epoch >= self.patience:
            return True
        return state.epoch >= self.epochs

    def has_checkpoint(self, state: TrainingState) -> bool:
        """Whether the state is written to the folder after this epoch."""
        return state.epoch % self.checkpoint_every == 0 or self.is_over(state)

    def has_snapshot(self, state: TrainingState) -> bool:
        """Whether the detector of this epoch is kept too."""
        epoch, every = state.epoch, self.snapshot_every
        if every is not None and self.is_over(state):
            return True
        if epoch in self.snapshot_best and state.best is not None and state.best.epoch == epoch:
            return True
        return epoch in every if isinstance(every, Collection) else every is not None and epoch % every == 0


def check_whole(name: str, value: object, least: int) -> None:
    """Raise ValueError for an argument that is no integer, or is too small."""
    if not is_whole(value, least):
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
