"""Rows of images that cannot be read, among those that were scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gradcon_ext.cli.rows import Row
from gradcon_ext.detector.columns import ERROR


def with_failed_rows(
    parts: Iterable[tuple[Mapping[str, Sequence[Any]], Sequence[str | None], Iterator[Row]]],
    blank: Callable[[], Row],
) -> Iterator[Row]:
    """Yield a row an image, all with the same columns, of which the last is "error".

    A failed image has its labels and its error alone; the other columns are None.

    Args:
        parts: labels of some images, why each of them failed, or None, and the rows of those that did not.
        blank: a row of some image, asked for where none was scored: it tells the columns.
    """
    columns: list[str] = []
    waiting: list[Row] = []  # those before the first scored one, which tells the columns
    for labels, problems, scored in parts:
        for index, problem in enumerate(problems):
            if problem is None:
                row = {**next(scored), ERROR: None}
                columns = list(row)
            else:
                row = {**{name: entries[index] for name, entries in labels.items()}, ERROR: problem}
            waiting.append(row)
            if columns:
                yield from (_completed(row, columns) for row in waiting)
                waiting.clear()
    if waiting:
        columns = [*blank(), ERROR]
        yield from (_completed(row, columns) for row in waiting)


def with_rows_at_end(scored: Iterable[Row], failed: Sequence[Row]) -> Iterator[Row]:
    """Yield scored rows, at least one, and then failed ones; if there are any, the last column is "error"."""
    columns: list[str] = []
    for row in scored:
        columns = [*row, ERROR] if failed else list(row)
        yield _completed(row, columns)
    yield from (_completed(row, columns) for row in failed)


def _completed(row: Row, columns: Sequence[str]) -> Row:
    return {name: row.get(name) for name in columns}
