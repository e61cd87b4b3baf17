"""The files from which an interrupted baseline goes on, and the bars that show how far it is."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from gradcon_ext.storage.header import check_facts
from gradcon_ext.storage.tensor_file import read_tensors, with_prefix, without_prefix, write_tensors

_KIND = "baseline checkpoint"
_FORMAT_VERSION = 1
_RANDOM = "random"


@dataclass
class State:
    """All that a training changes, besides torch's global random numbers on the CPU.

    Attributes:
        networks: by name.
        optimizers: by name.
        epoch: finished ones.
        best_loss: the lowest validation loss of these; None before the first, or where there is none.
        best: what the networks held then, as `weights` has it.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    epoch: int = 0
    best_loss: float | None = None
    best: dict[str, Tensor] = field(default_factory=dict)

    def weights(self) -> dict[str, Tensor]:
        """What the networks hold, under names that begin with theirs; not copies."""
        return {
            f"{network}.{name}": tensor
            for network, module in self.networks.items()
            for name, tensor in module.state_dict().items()
        }

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Have the networks hold what `weights` returned."""
        for network, module in self.networks.items():
            module.load_state_dict(without_prefix(f"{network}.", weights))


class RunBar(tqdm):  # type: ignore[type-arg]  # which it takes in stubs only
    """A bar that several processes may show at a time, once they have set the same lock."""


@dataclass(frozen=True)
class Checkpoints:
    """Where the trainings of a baseline keep how far they are.

    Attributes:
        label: in front of the bars.
        folder: of their files, made if need be; None keeps nothing.
        settings: what JSON can hold; a training goes on only where all of it is the same as when it began.
        shown: whether to show a bar of the epochs.
    """

    label: str = ""
    folder: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    shown: bool = False

    def save(self, name: str, state: State) -> None:
        """Write the state of the training of a name, by rename."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            _RANDOM: torch.get_rng_state(),
            **with_prefix("network.", state.weights()),
            **with_prefix("best.", state.best),
            **with_prefix("optimizer.", dict(_moments(state.optimizers))),
        }
        facts = {"settings": self.settings, "epoch": state.epoch, "best_loss": state.best_loss}
        write_tensors(self._path(self.folder, name), _KIND, _FORMAT_VERSION, tensors, facts)

    def load(self, name: str, state: State) -> None:
        """Bring a state that has not begun, and torch's global random numbers, to what was saved under a name.

        Without a file, or with one of other settings, nothing is changed.

        Raises:
            ValueError: the file is damaged, or does not fit the networks.
        """
        if self.folder is None or not (path := self._path(self.folder, name)).exists():
            return
        tensors, facts = read_tensors(path, _KIND, _FORMAT_VERSION)
        check_facts(path, facts, {"settings": dict, "epoch": int, "best_loss": float | None})
        if facts["settings"] != self.settings:
            return
        try:
            state.load_weights(without_prefix("network.", tensors))
            for optimizer, of in state.optimizers.items():
                moments = _by_parameter(without_prefix(f"optimizer.{optimizer}.", tensors))
                of.load_state_dict({**of.state_dict(), "state": moments})
            torch.set_rng_state(tensors[_RANDOM])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"{path} does not fit the networks: {' '.join(str(error).split())}") from error
        state.epoch, state.best_loss = facts["epoch"], facts["best_loss"]
        state.best = without_prefix("best.", tensors)

    def bar(self, name: str, epochs: int, finished: int) -> RunBar:
        """Begin the bar of the training of a name, on a line of this process's own."""
        return RunBar(
            desc=f"{self.label}, {name}",
            total=epochs,
            initial=finished,
            unit=" epochs",
            position=_line(),
            leave=False,
            disable=not self.shown,
        )

    @staticmethod
    def _path(folder: Path, name: str) -> Path:
        return folder / f"{name}.safetensors"


def _moments(optimizers: Mapping[str, Optimizer]) -> Iterator[tuple[str, Tensor]]:
    for optimizer, of in optimizers.items():
        for index, entry in of.state_dict()["state"].items():
            for name, moment in entry.items():
                yield f"{optimizer}.{index}.{name}", moment


def _by_parameter(moments: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    by_parameter: dict[int, dict[str, Tensor]] = {}
    for name, moment in moments.items():
        index, _, kind = name.partition(".")
        by_parameter.setdefault(int(index), {})[kind] = moment
    return by_parameter


def _line() -> int:
    """The line of the terminal for bars of this process: one of those below the bar of the process that began it."""
    number = multiprocessing.current_process().name.rpartition("-")[2]  # workers are counted
    return 1 + int(number) % len(os.sched_getaffinity(0)) if number.isdecimal() else 0
