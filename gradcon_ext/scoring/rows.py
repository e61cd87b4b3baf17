"""Scores as rows, one an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from gradcon_ext.detector.calibration import VERDICTS
from gradcon_ext.scoring.scorer import Scores

Row: TypeAlias = dict[str, Any]

ERROR = "error"
"""The column that says why an image has no score."""


def score_rows(labels: Mapping[str, Sequence[Any]], scores: Scores, layers: Sequence[str]) -> Iterator[Row]:
    """Yield one row an image: its labels, scores, p-value, verdict, and cosine for each layer.

    Args:
        labels: columns that come first, each with one entry an image.
        scores: of the images.
        layers: names of the columns of `scores.cosine`.
    """
    columns: dict[str, Sequence[Any]] = {
        **labels,
        "anomaly": _numbers(scores.anomaly),
        "reconstruction": _numbers(scores.reconstruction),
        "latent": _numbers(scores.latent),
        "gradient": _numbers(scores.gradient),
        **{name: _numbers(part) for name, part in _of_balance(scores).items()},
        **_of_calibration(scores),
        **{f"cosine.{name}": _numbers(cosine) for name, cosine in zip(layers, scores.cosine.T, strict=True)},
    }
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _of_balance(scores: Scores) -> dict[str, Tensor]:
    parts = {"direction": scores.direction, "code": scores.code, "balanced": scores.balanced}
    return {name: part for name, part in parts.items() if part is not None}


def _of_calibration(scores: Scores) -> dict[str, Sequence[Any]]:
    if scores.p_value is None or scores.is_outlier is None:
        return {}
    verdicts = [VERDICTS[is_outlier] for is_outlier in scores.is_outlier.tolist()]
    return {"p_value": _numbers(scores.p_value), "verdict": verdicts}


def _numbers(column: Tensor) -> list[float]:
    """The shortest decimals that read back as the same number."""
    numbers: list[float] = column.numpy().astype(str).astype(float).tolist()
    return numbers
