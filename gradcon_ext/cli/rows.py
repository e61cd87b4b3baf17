"""Scores as lines of a file, CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

from torch import Tensor

from gradcon_ext.detector.calibration import VERDICTS
from gradcon_ext.scoring.scorer import Scores
from gradcon_ext.storage.files import replace_file

Format = Literal["csv", "jsonl"]
Row: TypeAlias = dict[str, Any]


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


def write_rows(stream: TextIO, rows: Iterable[Row], format: Format) -> None:
    """Write rows as they come: JSON objects, or CSV under the names of the first row."""
    if format == "jsonl":
        stream.writelines(f"{json.dumps(row)}\n" for row in rows)
        return
    writer = csv.writer(stream, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow(row.values())


def write_rows_file(path: Path, rows: Iterable[Row], format: Format) -> None:
    """Write rows as they come to a file that appears when it is complete."""
    with (
        replace_file(path) as temporary,
        # File names that are not UTF-8 pass through unchanged.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        write_rows(stream, rows, format)


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
