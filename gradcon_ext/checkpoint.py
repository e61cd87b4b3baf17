"""The state of a training run, and the file from which an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradcon_ext.constraint import GradientConstraint
from gradcon_ext.header import check_facts
from gradcon_ext.tensorfile import read_tensors, with_prefix, without_prefix, write_tensors

_FORMAT_VERSION = 1

_TYPES = {
    "settings": dict,
    "seed": int,
    "attempt": int,
    "epoch": int,
    "count": int,
    "best": dict | None,
    "history": list,
}
_BEST_TYPES = {"objective": float, "reconstruction": float, "epoch": int, "count": int}


@dataclass
class Kept:
    """Copies of what gave a validation objective and reconstruction loss, at the end of an epoch."""

    objective: float
    reconstruction: float
    epoch: int
    count: int
    weights: dict[str, Tensor]
    references: dict[str, Tensor]


@dataclass
class TrainingState:
    """All that training changes.

    Attributes:
        seed: of the attempt.
        attempt: from 1; one more after each dead start.
        epoch: finished epochs of the attempt.
        best: of the epochs of the attempt, the one with the best validation objective; None before the first.
        history: one entry an epoch, and one a restart.
        planned_epochs: of an attempt, when the run is finished; None where nobody has said.
    """

    model: nn.Module
    constraint: GradientConstraint
    optimizer: Optimizer
    seed: int
    attempt: int = 1
    epoch: int = 0
    best: Kept | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    planned_epochs: int | None = None

    def kept(self, objective: float, reconstruction: float) -> Kept:
        """Copy weights and references, which gave this validation objective and reconstruction loss."""
        return Kept(
            objective,
            reconstruction,
            self.epoch,
            self.constraint.count,
            {name: weight.detach().clone() for name, weight in self.model.state_dict().items()},
            {name: reference.clone() for name, reference in self.constraint.references.items()},
        )


def save_checkpoint(path: Path, state: TrainingState, settings: Mapping[str, Any]) -> None:
    """Write a run's state, by rename.

    Args:
        path: the file.
        state: at the end of an epoch, or before the first.
        settings: what JSON can hold; what must be the same for the run to go on.
    """
    moments = {
        f"{index}.{name}": moment
        for index, entry in state.optimizer.state_dict()["state"].items()
        for name, moment in entry.items()
    }
    tensors = {
        **with_prefix("model.", state.model.state_dict()),
        **with_prefix("optimizer.", moments),
        **with_prefix("reference.", state.constraint.references),
    }
    best = None
    if state.best is not None:
        tensors |= with_prefix("best.model.", state.best.weights)
        tensors |= with_prefix("best.reference.", state.best.references)
        best = {
            "objective": state.best.objective,
            "reconstruction": state.best.reconstruction,
            "epoch": state.best.epoch,
            "count": state.best.count,
        }
    facts = {
        "settings": settings,
        "seed": state.seed,
        "attempt": state.attempt,
        "epoch": state.epoch,
        "planned_epochs": state.planned_epochs,
        "count": state.constraint.count,
        "best": best,
        "history": state.history,
    }
    write_tensors(path, "checkpoint", _FORMAT_VERSION, tensors, facts)


def planned_epochs(path: Path) -> int | None:
    """Return how many epochs the run of a checkpoint was to have; None where nobody has said.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not a checkpoint.
    """
    _, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    epochs: int | None = facts.get("planned_epochs")
    return epochs


def reached_epochs(path: Path) -> int:
    """Return how many epochs the attempt of a checkpoint has finished; the errors are those of `planned_epochs`."""
    _, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    check_facts(path, facts, {"epoch": int})
    epochs: int = facts["epoch"]
    return epochs


def load_checkpoint(path: Path, state: TrainingState, settings: Mapping[str, Any]) -> None:
    """Bring a run that has not begun to the state in a file, but for the epochs that it plans.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not a checkpoint, lacks a fact or has one of another type, or is of a run
            with other settings or another model.
    """
    tensors, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    check_facts(path, facts, _TYPES)
    if facts["best"] is not None:
        check_facts(path, facts["best"], _BEST_TYPES)
    for name, value in settings.items():
        if facts["settings"].get(name) != value:
            raise ValueError(f"{path} is of a run with {name} = {facts['settings'].get(name)!r}, not {value!r}")
    weights = without_prefix("model.", tensors)
    try:
        state.model.load_state_dict(weights)
        state.constraint.load_state_dict({"references": without_prefix("reference.", tensors), "count": facts["count"]})
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} does not fit the model: {error}") from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, moment in without_prefix("optimizer.", tensors).items():
        index, _, moment_name = name.partition(".")
        moments.setdefault(int(index), {})[moment_name] = moment
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    state.seed = facts["seed"]
    state.attempt = facts["attempt"]
    state.epoch = facts["epoch"]
    state.history = facts["history"]
    if facts["best"] is not None:
        state.best = Kept(
            **{name: facts["best"][name] for name in _BEST_TYPES},
            weights=without_prefix("best.model.", tensors),
            references=without_prefix("best.reference.", tensors),
        )
