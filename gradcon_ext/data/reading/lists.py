"""Lists of images, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from gradcon_ext.data.reading.files import ImageFile

LIST_SUFFIXES = (".csv", ".jsonl")

_KNOWN = {"path": "path", "isoutlier": "is_outlier", "frame": "frame"}
"""Columns, by their names without what may lie between words."""
_BETWEEN = re.compile(r"[\s_-]")

_BOOLEANS = {"0": False, "false": False, "1": True, "true": True, "": None, "none": None}


def read_list(path: Path) -> list[ImageFile]:
    """Read the images of a list: CSV with a header, or an object of JSON a line.

    `path` is the file of an image, from the folder of the list where it is not absolute. `is_outlier` (0 or 1, false
    or true) and `frame` (from 0) may be there too, and a frame that is named is read whichever others are; whatever
    else is there, is left alone. Case, blanks, hyphens and underscores of these names do not count. Where names of a
    header have blanks around them, so have its values.

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
    head = csv.reader(stream, strict=True)
    header = next(head, [])
    stripped = [name.strip() for name in header]
    names = _known(stripped)
    if "path" not in names:
        raise ValueError(f'expected a column "path", got {", ".join(map(repr, header)) or "no header"}')
    has_blanks = stripped != header
    reader = csv.DictReader(stream, names, strict=True, skipinitialspace=has_blanks)
    for row in reader:
        number = head.line_num + reader.line_num
        yield number, {name: _stripped(value) for name, value in row.items()} if has_blanks else row


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _known(names: Iterable[str]) -> list[str]:
    """Names with those that look like a known one replaced by it."""
    known = [_KNOWN.get(_BETWEEN.sub("", name).lower(), name) for name in names]
    for name in _KNOWN.values():
        if known.count(name) > 1:
            raise ValueError(f'there are several columns "{name}"; expected one at most')
    return known


def _json_rows(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"expected an object with a path, got {line[:80]!r}")
            known = dict(zip(_known(row), row.values(), strict=True))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error
        yield number, known


def _image(row: Mapping[str, Any], folder: Path, number: int) -> ImageFile:
    name, frame = row.get("path"), row.get("frame")
    is_outlier = str(row.get("is_outlier", "")).strip().lower()
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"line {number}: expected a path, got {name!r}")
    if is_outlier not in _BOOLEANS:
        raise ValueError(f"line {number}: expected is_outlier to be 0 or 1, got {row['is_outlier']!r}")
    digits = "" if frame is None else str(frame).strip()
    if digits and (not digits.isdecimal() or len(digits) > 9):
        raise ValueError(f"line {number}: expected a frame from 0, got {frame!r}")
    return ImageFile(folder / name, int(digits or "0"), _BOOLEANS[is_outlier], names_frame=bool(digits))
