"""Scores as columns of plain numbers, of the scorers with torch and without. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcon_ext.data.arrays import Array
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
    columns = score_arrays(scores, layers)
    return {
        name: _shortest(column).tolist() if column.dtype.kind == "f" else list(column)
        for name, column in columns.items()
    }


def score_arrays(scores: Any, layers: Sequence[str]) -> dict[str, Array]:
    """Return the same as arrays (N,): numbers as precise as they were computed, and verdicts as objects."""
    names = ["anomaly", "reconstruction", "latent", "gradient"]
    names += [name for name in OF_BALANCE if getattr(scores, name) is not None]
    columns = {name: np.asarray(getattr(scores, name)) for name in names}
    if scores.p_value is not None:
        columns["p_value"] = np.asarray(scores.p_value)
        columns["verdict"] = np.array([VERDICTS[is_outlier] for is_outlier in scores.is_outlier.tolist()], object)
    return columns | {
        f"cosine.{name}": np.asarray(cosine) for name, cosine in zip(layers, scores.cosine.T, strict=True)
    }


def _shortest(column: Array) -> Array:
    """As float64, with the shortest decimals that read back as the same number."""
    return column.astype(str).astype(float)
