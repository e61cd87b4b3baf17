"""Scores as columns of plain numbers, of the scorers with torch and without. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcon_ext.detector.calibration import VERDICTS
from gradcon_ext.detector.parts import OF_BALANCE

ERROR = "error"
"""The column that says why an image has no scores, where some have none."""


def score_columns(scores: Any, layers: Sequence[str]) -> dict[str, list[Any]]:
    """Return scores of N images by the names that a row of scores has, each with N numbers or verdicts.

    Args:
        scores: `gradcon_ext.Scores`, or those of `gradcon_ext.runtime`.
        layers: names of the columns of `scores.cosine`.
    """
    names = ["anomaly", "reconstruction", "latent", "gradient"]
    names += [name for name in OF_BALANCE if getattr(scores, name) is not None]
    columns = {name: _numbers(getattr(scores, name)) for name in names}
    if scores.p_value is not None:
        columns["p_value"] = _numbers(scores.p_value)
        columns["verdict"] = [VERDICTS[is_outlier] for is_outlier in scores.is_outlier.tolist()]
    return columns | {f"cosine.{name}": _numbers(cosine) for name, cosine in zip(layers, scores.cosine.T, strict=True)}


def _numbers(column: Any) -> list[Any]:
    """The shortest decimals that read back as the same number."""
    numbers: list[Any] = np.asarray(column).astype(str).astype(float).tolist()
    return numbers
