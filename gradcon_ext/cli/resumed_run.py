"""What the run says that `gradcon train --resume` goes on with, if there is one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcon_ext.cli.finishing import SCORES
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.detector import read_facts
from gradcon_ext.detector.place import CHECKPOINT, DETECTOR
from gradcon_ext.storage.header import check_facts
from gradcon_ext.training.checkpoint import planned_epochs, settings_of


def settings_before(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the settings of its trainer, "lead_in" always among them; None for a new run.

    Raises:
        ValueError: its checkpoint is damaged, or does not say which model it trains, and how.
    """
    path = _checkpoint(args)
    if path is None:
        return None
    settings = {"lead_in": 0, **settings_of(path)}
    if not isinstance(settings.get("model"), dict):
        raise ValueError(f"{path} does not say which model its run trains")
    check_facts(path, settings, {"alpha": float, "lead_in": int, "batch_size": int})
    return settings


def epochs_before(args: argparse.Namespace) -> int | None:
    """Return as many epochs as it was to have, lest it end otherwise than it would have; None for a new run.

    Raises:
        ValueError: its checkpoint is damaged, or does not say how many.
    """
    path = _checkpoint(args)
    if path is None:
        return None
    epochs = planned_epochs(path)
    if epochs is None:
        raise ValueError(f"{path} does not say how many epochs its run was to have: give --epochs")
    return epochs


def facts_before(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return what its detector says; None where there is none yet."""
    path = args.out / DETECTOR
    return read_facts(path) if args.resume and path.exists() else None


def score_before(facts: Mapping[str, Any] | None) -> str:
    """Return what a run was asked for whose detector says these facts, or the default for a new one."""
    if facts is None:
        return "auto"
    asked = facts["training"].get("score", "gradcon" if facts["balance"] is None else "balanced")
    return asked if asked in SCORES else "auto"


def range_before(facts: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Return the range of values that images are read in by a detector that says these facts; None if none is known."""
    return None if facts is None else Preparation.read(facts["preprocessing"]).range


def was_calibrated(facts: Mapping[str, Any]) -> bool:
    """Whether images were held out for calibration in the run whose detector says these facts."""
    data = facts["training"].get("data")
    return isinstance(data, dict) and "calibration" in data


def _checkpoint(args: argparse.Namespace) -> Path | None:
    path: Path = args.out / CHECKPOINT
    return path if args.resume and path.exists() else None
