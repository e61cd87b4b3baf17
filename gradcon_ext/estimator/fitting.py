"""What every estimator does, whichever convention it follows: it trains a detector, and scores by one part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import OF_BALANCE, part_of
from gradcon_ext.scoring.balancing import balanced
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.training.seeding import seeded
from gradcon_ext.training.trainer import Trainer


def fitted(
    make_model: Callable[[], nn.Module],
    train: npt.NDArray[Any],
    held_out: npt.NDArray[Any],
    *,
    part: str,
    alpha: float,
    epochs: int,
    lead_in: int,
    batch_size: int,
    seed: int,
    device: str,
    learning_rate: float = 1e-3,
) -> Detector:
    """Train a detector without a progress bar, and balance it if the part that is scored by needs it.

    Args:
        make_model: called with seeded random numbers.
        train: inputs (N, C, H, W) to learn from.
        held_out: inputs (M, C, H, W) to choose the epoch by, and to tell the scale of scores.
        part: of the score, that the detector is to have; one of `gradcon_ext.detector.parts.PARTS`.
        alpha: weight of the constraint in training.
        epochs: passes over `train`.
        lead_in: passes before these, without the constraint.
        batch_size: inputs a step.
        seed: of the model and the order of inputs.
        device: to train on.
        learning_rate: of Adam.

    Raises:
        TypeError: inputs of another dtype.
        ValueError: bad inputs, too few of them, or an argument out of range.
        RuntimeError: the training led nowhere, several times.
    """
    with seeded(usable_device(device), seed):
        model = make_model()
    trainer = Trainer(
        model,
        alpha=alpha,
        lr=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        lead_in=lead_in,
        seed=seed,
        device=device,
        progress=False,
    )
    detector = trainer.fit(train, held_out)
    return balanced(detector, train, held_out, device) if part in OF_BALANCE else detector


def scores_by(scorer: Scorer, part: str, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return one part (N,) of the score of inputs (N, C, H, W); higher is more anomalous.

    Raises:
        TypeError: inputs of another dtype.
        ValueError: bad inputs, or the detector has no such part.
    """
    return np.asarray(part_of(scorer.score(inputs), part).numpy())
