"""The entries of a run's history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.epoch import TrainingMetrics, ValidationMetrics


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
