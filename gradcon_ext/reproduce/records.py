"""What is kept of every finished experiment: its metrics, small enough to be kept under version control."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gradcon_ext.reproduce.measuring import Metrics
from gradcon_ext.storage.files import replace_file
from gradcon_ext.storage.lock import locked
from gradcon_ext.version import __version__

_PATIENCE = 60.0
"""Seconds to wait for others that record, each of which needs milliseconds."""


@dataclass(frozen=True)
class Record:
    """The metrics of one experiment.

    Attributes:
        epochs: passes over the training images; 0 where nothing is trained by passes.
        best_epoch: the one whose validation objective was best; 0 of a baseline.
        metrics: of the detector of that epoch.
        by_epoch: the same of other epochs, by their numbers.
        variants: the same of other detectors of the run, by the names of `gradcon_ext.reproduce.variants`.
        seconds: that training took.
        version: of this package, which measured them.
    """

    epochs: int
    best_epoch: int
    metrics: Metrics
    by_epoch: dict[int, Metrics] = field(default_factory=dict)
    variants: dict[str, Metrics] = field(default_factory=dict)
    seconds: float = 0.0
    version: str = __version__

    def metric(self, name: str, variant: str | None = None) -> float:
        """Look up a metric, of a variant or else of the best epoch; raise ValueError if it is not there."""
        try:
            return (self.metrics if variant is None else self.variants[variant])[name]
        except KeyError as missing:
            raise ValueError(
                f"a record has no {missing.args[0]!r}: remove the records that were made otherwise"
            ) from None


class Records:
    """The records of a folder, by the names of their experiments: one JSON Lines file a data set, sorted by name.

    Several processes may record at once.

    Args:
        folder: made when the first one is put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[os.stat_result, dict[str, Record]]] = {}

    def get(self, name: str, epochs: int = 0) -> Record | None:
        """Return a record of at least so many epochs, or None.

        Raises:
            ValueError: a line of the data set's file is damaged; says which. Or there is a folder of single files, or
                the name is none: a name is of two or more parts, a data set and what of it, with slashes between.
        """
        record = self._records(self._path(name)).get(name)
        return record if record is not None and record.epochs >= epochs else None

    def put(self, name: str, record: Record) -> None:
        """Write a record in the place of an earlier one of that name; the file is replaced as a whole, by rename.

        Raises:
            FolderInUse: others have been recording for a minute.
            ValueError, TypeError: see `get`, or the record could not be read again; nothing is written then.
        """
        path = self._path(name)
        _check(record)
        with locked(self._folder, _PATIENCE):
            records = {**self._records(path), name: record}
            with replace_file(path) as temporary:
                lines = (_line(each, records[each]) for each in sorted(records))
                temporary.write_text("".join(lines), encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self._folder / f"{_dataset_of(name)}.jsonl"

    def _records(self, path: Path) -> dict[str, Record]:
        """All records of a file, which is read again only where another one has come in its place."""
        _refuse_single_files(path.with_suffix(""))
        try:
            stat = path.stat()
        except FileNotFoundError:
            return {}
        before, records = self._read.get(path, (None, {}))
        if before is None or _identity(before) != _identity(stat):
            records = _read(path)
            self._read[path] = stat, records
        return records


def _refuse_single_files(folder: Path) -> None:
    if folder.is_dir():
        raise ValueError(
            f"{folder} holds records one a file, as earlier versions kept them: move it away; runs that have finished "
            "are measured again, and not trained"
        )


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _read(path: Path) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            name, record = _parsed(line)
            if name in records or _dataset_of(name) != path.stem:
                raise ValueError(f"{name} stands there twice, or is of another data set")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{path}, line {number}, is no record of an experiment ({error}): remove the line"
            ) from error
        records[name] = record
    return records


def _parsed(line: bytes) -> tuple[str, Record]:
    facts: dict[str, Any] = json.loads(line, object_pairs_hook=_without_repetition)
    name: str = facts.pop("name")
    by_epoch = {_epoch(number): metrics for number, metrics in facts.pop("by_epoch").items()}
    record = Record(**facts, by_epoch=by_epoch)
    _check(record)
    return name, record


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    facts = dict(pairs)
    if len(facts) < len(pairs):
        raise ValueError(f"a name stands twice among {[name for name, _ in pairs]}")
    return facts


def _epoch(number: str) -> int:
    if str(int(number)) != number:
        raise ValueError(f"an epoch is {number!r}")
    return int(number)


def _dataset_of(name: str) -> str:
    """The first part of a name, which is that of a file; raise ValueError where it is no name."""
    parts = name.split("/")
    if len(parts) < 2 or not all(parts) or parts[0].startswith(".") or not parts[0].isprintable() or "\\" in parts[0]:
        raise ValueError(f"{name!r} is no name of an experiment, as in mnist/cae/0/seed-0")
    return parts[0]


def _check(record: Record) -> None:
    """Raise TypeError or ValueError, with the fact, for what no experiment gives."""
    for name in ("epochs", "best_epoch"):
        _check_number(name, getattr(record, name), int, least=0)
    _check_number("seconds", record.seconds, int | float, least=0)
    if not isinstance(record.version, str):
        raise TypeError(f"version is {record.version!r}")
    for epoch in record.by_epoch:
        _check_number("an epoch", epoch, int, least=0)
    for metrics in (record.metrics, *record.by_epoch.values(), *record.variants.values()):
        for name, value in metrics.items():
            _check_number(f"metric {name}", value, int | float)


def _check_number(name: str, value: Any, kinds: Any, least: float = -sys.float_info.max) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} is {value!r}")
    if not least <= value < math.inf:
        raise ValueError(f"{name} is {value!r}")


def _line(name: str, record: Record) -> str:
    return json.dumps({"name": name, **_rounded(asdict(record))}) + "\n"


def _rounded(value: Any) -> Any:
    """Numbers to six decimals, at any depth."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return round(value, 6) if isinstance(value, float) else value
