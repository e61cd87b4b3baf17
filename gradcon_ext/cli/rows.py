"""Scores as lines of a file, CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TextIO

from gradcon_ext.scoring.rows import Row
from gradcon_ext.storage.files import replace_file

Format = Literal["csv", "jsonl"]


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
