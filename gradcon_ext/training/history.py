"""The entries of a run's history, and what is told of each epoch while the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.epoch import TrainingMetrics, ValidationMetrics

Log: TypeAlias = Callable[[Mapping[str, float], int], object]
"""Takes the metrics of an epoch by name, and the number of epochs that have finished."""


def epoch_entry(
    state: TrainingState,
    training: TrainingMetrics,
    validation: ValidationMetrics,
    objective: float,
    seconds: float,
    is_best: bool,
) -> dict[str, Any]:
    """Describe an epoch that has just finished."""
    return {
        "epoch": state.epoch,
        "attempt": state.attempt,
        "seed": state.seed,
        "loss": training.loss,
        **asdict(training),
        "validation_objective": objective,
        **{f"validation_{name}": metric for name, metric in asdict(validation).items()},
        "seconds": seconds,
        "best": is_best,
        "lead_in": state.leads_in,
    }


def restart_entry(state: TrainingState, reason: str) -> dict[str, Any]:
    """Describe that a dead start is about to be followed by another attempt, with the next seed."""
    return {
        "event": "restart",
        "epoch": state.epoch,
        "attempt": state.attempt,
        "seed": state.seed,
        "next_seed": state.seed + 1,
        "reason": reason,
    }


def lead_in_entry(state: TrainingState) -> dict[str, Any]:
    """Describe that the lead-in is over, and that the decoder is about to begin anew."""
    assert state.best is not None  # an epoch has finished
    return {
        "event": "lead-in over",
        "epoch": state.epoch,
        "attempt": state.attempt,
        "seed": state.seed,
        "kept_epoch": state.best.epoch,
    }


def metrics_of(entry: Mapping[str, Any], layers: Sequence[str], lr: float) -> dict[str, float]:
    """Return what a tracker shows of an epoch: the numbers of its entry, and the learning rate.

    Args:
        entry: see `epoch_entry`.
        layers: names of the constrained weights, for the columns of "cosine", as in "cosine/decoder.0.weight".
        lr: of the epoch.
    """
    metrics: dict[str, float] = {"lr": lr}
    for name, value in entry.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("epoch", "seed"):
            metrics[name] = float(value)
    for name in ("cosine", "validation_cosine"):
        metrics |= {f"{name}/{layer}": value for layer, value in zip(layers, entry[name], strict=True)}
    return metrics
