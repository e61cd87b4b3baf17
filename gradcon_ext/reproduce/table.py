"""A table of measured metrics beside the published ones, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from statistics import fmean, stdev

from gradcon_ext.storage.files import replace_file


@dataclass(frozen=True)
class Row:
    """Metrics by column.

    Attributes:
        label: what was measured.
        source: "paper", or how it was measured, such as "ours, 50 epochs".
        values: of each column, one value a seed; of a column without a metric, none.
    """

    label: str
    source: str
    values: Sequence[Sequence[float]]

    @property
    def averages(self) -> list[float]:
        """Mean over the columns, for each seed that has them all."""
        complete = min((len(values) for values in self.values), default=0)
        return [fmean(values[seed] for values in self.values) for seed in range(complete)]


@dataclass(frozen=True)
class Table:
    """Rows under common columns.

    Attributes:
        title: says what the metrics are.
        columns: names, such as those of classes.
        rows: each with as many values as there are columns.
        average: whether a last column holds the mean over the columns.
        notes: lines below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    average: bool = True
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """As a section in Markdown: mean over seeds, with the standard deviation where there are two or more."""
        header = ["", "source", *self.columns, *(["average"] if self.average else [])]
        lines = [f"## {self.title}", "", _line(header), _line(["---"] * len(header))]
        for row in self.rows:
            cells = [_cell(values) for values in self._columns_of(row)]
            lines.append(_line([row.label, row.source, *cells]))
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """As CSV, a line for each metric: row, source, column, mean, standard deviation over seeds, number of seeds."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "source", "column", "mean", "std", "seeds"])
        for row in self.rows:
            for column, values in zip([*self.columns, "average"], self._columns_of(row), strict=False):
                if values:
                    spread = "" if isnan(deviation(values)) else f"{deviation(values):.6f}"
                    writer.writerow([row.label, row.source, column, f"{fmean(values):.6f}", spread, len(values)])
        return text.getvalue()

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write `name`.md and `name`.csv, by rename; return their paths."""
        paths = []
        for suffix, text in ((".md", self.markdown()), (".csv", self.csv())):
            paths.append(folder / f"{name}{suffix}")
            with replace_file(paths[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths

    def _columns_of(self, row: Row) -> list[Sequence[float]]:
        return [*row.values, *([row.averages] if self.average else [])]


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of a sample; NaN of a single value, which has none."""
    return stdev(values) if len(values) > 1 else nan


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = "" if isnan(deviation(values)) else f" ± {deviation(values):.3f}"
    return f"{fmean(values):.3f}{spread}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
