"""Scores as lines of a file, CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

from gradcon_ext.detector.columns import score_columns
from gradcon_ext.scoring.scores import Scores
from gradcon_ext.storage.files import replace_file

Format = Literal["csv", "jsonl"]
Row: TypeAlias = dict[str, Any]

_LINE_END = "\r\n"
"""What the writer of CSV is told, for it quotes no other characters that end lines than those of this."""


class _NewlineEnds:
    """Passes rows of CSV on, each ended by a newline alone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(f"{row.removesuffix(_LINE_END)}\n")


def score_rows(labels: Mapping[str, Sequence[Any]], scores: Scores, layers: Sequence[str]) -> Iterator[Row]:
    """Yield one row an image: its labels, scores, p-value, verdict, and cosine for each layer.

    Args:
        labels: columns that come first, each with one entry an image.
        scores: of the images.
        layers: names of the columns of `scores.cosine`.
    """
    columns = {**labels, **score_columns(scores, layers)}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def write_rows(stream: TextIO, rows: Iterable[Row], format: Format) -> None:
    """Write rows as they come: JSON objects, or CSV under the names of the first row."""
    if format == "jsonl":
        stream.writelines(f"{json.dumps(row)}\n" for row in rows)
        return
    writer = csv.writer(_NewlineEnds(stream), lineterminator=_LINE_END)
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
