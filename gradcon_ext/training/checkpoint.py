"""The state of a training run, and the file from which an interrupted run goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradcon_ext.storage.header import check_facts
from gradcon_ext.storage.tensor_file import read_tensors, with_prefix, without_prefix, write_tensors
from gradcon_ext.training.constraint import GradientConstraint

_FORMAT_VERSION = 1

_TYPES = {
    "settings": dict,
    "seed": int,
    "attempt": int,
    "epoch": int,
    "count": int,
    "best": dict | None,
    "history": list,
    "leads_in": bool,
}
_IMAGES = {"train_digest": "training images", "validation_digest": "validation images"}
"""Settings that tell images from others. Checkpoints of earlier versions lack them, which is not held against these."""
_BEFORE = {"lead_in": 0}
"""Settings that they lack, and the runs that they are of had."""
_MOMENTS = frozenset(("step", "exp_avg", "exp_avg_sq"))
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
        attempt: from 1; one more after each dead start, and after a lead-in.
        epoch: finished epochs of the attempt.
        best: of the epochs of the attempt, the one with the best validation objective; None before the first.
        history: one entry an epoch, and one a restart.
        planned_epochs: of an attempt, when the run is finished; None where nobody has said.
        leads_in: whether the attempt is one of a lead-in (see `gradcon_ext.training.lead_in`).
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
    leads_in: bool = False

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
        "leads_in": state.leads_in,
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


def settings_of(path: Path) -> dict[str, Any]:
    """Return the settings of the run of a checkpoint; the errors are those of `planned_epochs`."""
    _, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    check_facts(path, facts, {"settings": dict})
    settings: dict[str, Any] = facts["settings"]
    return settings


def reached_epochs(path: Path) -> int:
    """Return how many epochs, after a lead-in, the attempt of a checkpoint has finished.

    The errors are those of `planned_epochs`.
    """
    _, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    check_facts(path, facts, {"epoch": int})
    epochs: int = 0 if facts.get("leads_in") else facts["epoch"]
    return epochs


def load_checkpoint(path: Path, state: TrainingState, settings: Mapping[str, Any]) -> None:
    """Bring a run that has not begun to the state in a file, but for the epochs that it plans.

    All of the file is looked at before anything of the run is changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not a checkpoint, lacks a fact or tensor or has one of another type or
            shape, holds numbers that are not finite, or is of a run with other settings or another model.
    """
    tensors, facts = read_tensors(path, "checkpoint", _FORMAT_VERSION)
    facts = {"leads_in": False, **facts}
    check_facts(path, facts, _TYPES)
    _check_counts(path, facts)
    for name, value in settings.items():
        if name in facts["settings"] or name not in _IMAGES:
            _check_same(path, name, facts["settings"].get(name, _BEFORE.get(name)), value)
    weights, references = dict(state.model.state_dict()), state.constraint.references
    _check_tensors(path, tensors, "model.", weights)
    _check_tensors(path, tensors, "reference.", references)
    _check_tensors(path, tensors, "best.model.", weights if facts["best"] else {})
    _check_tensors(path, tensors, "best.reference.", references if facts["best"] else {})
    moments = _moments(path, without_prefix("optimizer.", tensors), state)
    try:
        state.model.load_state_dict(without_prefix("model.", tensors))
        state.constraint.load_state_dict({"references": without_prefix("reference.", tensors), "count": facts["count"]})
        state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} does not fit the model: {error}") from error
    state.seed = facts["seed"]
    state.attempt = facts["attempt"]
    state.epoch = facts["epoch"]
    state.history = facts["history"]
    state.leads_in = facts["leads_in"]
    if facts["best"] is not None:
        state.best = Kept(
            **{name: facts["best"][name] for name in _BEST_TYPES},
            weights=without_prefix("best.model.", tensors),
            # In the model's order, which is not the file's: that of a score's columns.
            references={name: tensors[f"best.reference.{name}"] for name in references},
        )


def _check_counts(path: Path, facts: Mapping[str, Any]) -> None:
    least = {"seed": 0, "attempt": 1, "epoch": 0, "count": 0}
    best = facts["best"]
    if best is not None:
        check_facts(path, best, _BEST_TYPES)
        if not math.isfinite(best["objective"]) or not math.isfinite(best["reconstruction"]):
            raise ValueError(f"{path} holds a best epoch whose losses are not finite")
    for name, smallest in least.items():
        if facts[name] < smallest:
            raise ValueError(f"{path} holds {name} = {facts[name]}; expected at least {smallest}")
    if (best is None) != (facts["epoch"] == 0):
        raise ValueError(f"{path} holds {facts['epoch']} epochs, but {'no' if best is None else 'a'} best one")
    if best is not None and not (1 <= best["epoch"] <= facts["epoch"] and 1 <= best["count"] <= facts["count"]):
        raise ValueError(f"{path} holds a best epoch {best['epoch']} of {facts['epoch']}, which cannot be")


def _check_same(path: Path, name: str, found: Any, expected: Any) -> None:
    if found != expected and name in _IMAGES:
        raise ValueError(f"{path} is of a run with other {_IMAGES[name]}, or with the same ones read in another way")
    if found != expected:
        raise ValueError(f"{path} is of a run with {name} = {found!r}, not {expected!r}")


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], prefix: str, like: Mapping[str, Tensor]) -> None:
    """Check names, shapes, types and numbers of the tensors of one kind."""
    found = without_prefix(prefix, tensors)
    if found.keys() != like.keys():
        different = sorted(found.keys() ^ like.keys())[0]
        what = "lacks" if different in like else "has a tensor that the model lacks,"
        raise ValueError(f"{path} does not fit the model: it {what} {prefix}{different}")
    for name, tensor in found.items():
        _check_tensor(path, f"{prefix}{name}", tensor, like[name])


def _check_tensor(path: Path, name: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        raise ValueError(
            f"{path} does not fit the model: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
            f"expected {like.dtype} {tuple(like.shape)}"
        )
    if not tensor.isfinite().all():
        raise ValueError(f"{path} holds numbers in {name} that are NaN or infinite")


def _moments(path: Path, tensors: Mapping[str, Tensor], state: TrainingState) -> dict[int, dict[str, Tensor]]:
    """Adam's state by the index of the parameter: none of it, or all of it where a parameter was trained."""
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, moment in tensors.items():
        index, _, kind = name.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters) or kind not in _MOMENTS:
            raise ValueError(f"{path} has a tensor that the optimizer lacks, optimizer.{name}")
        parameter = parameters[int(index)]
        like = parameter.new_empty((), dtype=moment.dtype) if kind == "step" else parameter
        _check_tensor(path, f"optimizer.{name}", moment, like)
        if kind != "exp_avg" and (moment < 0).any():
            raise ValueError(f"{path} holds negative numbers in optimizer.{name}")
        moments.setdefault(int(index), {})[kind] = moment
    for number, entry in moments.items():
        if entry.keys() != _MOMENTS:
            raise ValueError(f"{path} lacks optimizer.{number}.{sorted(_MOMENTS - entry.keys())[0]}")
    return moments
