"""Lists of images, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from gradcon_ext.data.reading.files import ImageFile

LIST_SUFFIXES = (".csv", ".jsonl")

_BOOLEANS = {"0": False, "false": False, "1": True, "true": True, "": None, "none": None}


def read_list(path: Path) -> list[ImageFile]:
    """Read the images of a list: CSV with a header, or an object of JSON a line.

    `path` is the file of an image, from the folder of the list where it is not absolute. `is_outlier` (0 or 1, false
    or true) and `frame` (from 0) may be there too, and a frame that is named is read whichever others are; whatever
    else is there, is left alone.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such list; the message names the line.
    """
    try:
        # Names of files that are not UTF-8 pass through unchanged.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            rows = _json_rows(stream) if path.suffix.lower() == ".jsonl" else _csv_rows(stream)
            return [_image(row, path.parent, number) for number, row in rows]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path}: not a list of images: {error}") from error


def _csv_rows(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(stream, strict=True)
    if "path" not in (reader.fieldnames or ()):
        raise ValueError(
            f'expected a column "path", got {", ".join(map(repr, reader.fieldnames or ())) or "no header"}'
        )
    return ((reader.line_num, row) for row in reader)


def _json_rows(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: expected an object with a path, got {line[:80]!r}")
        yield number, row


def _image(row: Mapping[str, Any], folder: Path, number: int) -> ImageFile:
    name, frame = row.get("path"), row.get("frame")
    is_outlier = str(row.get("is_outlier", "")).lower()
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"line {number}: expected a path, got {name!r}")
    if is_outlier not in _BOOLEANS:
        raise ValueError(f"line {number}: expected is_outlier to be 0 or 1, got {row['is_outlier']!r}")
    names_frame = frame not in (None, "")
    digits = str(frame) if names_frame else "0"
    if not digits.isdecimal() or len(digits) > 9:
        raise ValueError(f"line {number}: expected a frame from 0, got {frame!r}")
    return ImageFile(folder / name, int(digits), _BOOLEANS[is_outlier], names_frame)
