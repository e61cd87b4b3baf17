"""What a scorer tells of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.parts import part_of


class Scores(NamedTuple):
    """Scores of N samples on the CPU, float32 where nothing else is said.

    Attributes:
        reconstruction: reconstruction loss, (N,).
        latent: latent loss, (N,); zeros where the model has none.
        cosine: alignment of each constrained layer's gradient with its reference, (N, L).
        anomaly: reconstruction + latent - alpha * mean over layers of the cosine, (N,). Higher is more anomalous.
        direction: how far the direction of the code leaves those of training, (N,); None without a balance.
        code: how far the code itself does, (N,); likewise.
        balanced: direction, code, gradient and reconstruction on one scale each, (N,); higher is more anomalous. None
            without a balance. See `gradcon_ext.detector.balance.Balance`.
        p_value: how rare a score as high is among normal images, float64 (N,); None without a calibration. See
            `gradcon_ext.detector.calibration.Calibration`.
        is_outlier: the verdict, true where the p-value is at most the stated false-alarm rate, (N,); likewise.
    """

    reconstruction: Tensor
    latent: Tensor
    cosine: Tensor
    anomaly: Tensor
    direction: Tensor | None = None
    code: Tensor | None = None
    balanced: Tensor | None = None
    p_value: Tensor | None = None
    is_outlier: Tensor | None = None

    @property
    def gradient(self) -> Tensor:
        """The gradient loss alone, minus the mean cosine, (N,). Higher is more anomalous (paper, section 6)."""
        return -self.cosine.mean(1)


def judged(scores: Scores, part: str, calibration: Calibration) -> Scores:
    """Return scores with p-values and verdicts by one of their parts."""
    p_value = torch.from_numpy(calibration.p_values(part, part_of(scores, part).numpy()))
    return scores._replace(p_value=p_value, is_outlier=p_value <= calibration.rate)


def joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of several batches, at least one, as those of all their images."""
    if len(parts) == 1:
        return parts[0]
    columns: Any = map(_concatenated, zip(*parts, strict=True))
    return Scores(*columns)


def _concatenated(column: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in column if part is not None]
    return torch.cat(present) if present else None
