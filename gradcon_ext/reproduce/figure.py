"""A figure with the numbers that it shows, as PNG and CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradcon_ext.storage.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

# Okabe and Ito's palette, which every kind of colour vision tells apart; each with a dash and a marker of its own.
LINE_STYLES = (("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"), ("#CC79A7", ":", "D"))


@dataclass(frozen=True)
class Figure:
    """What is drawn, and its numbers.

    Attributes:
        drawing: by matplotlib.
        header: names of the columns.
        rows: of numbers and names.
        caption: says what is to be seen.
    """

    drawing: Drawing
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = field(default="")

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write `name`.png, `name`.csv and `name`.md with the caption, by rename; return their paths."""
        paths = [folder / f"{name}{suffix}" for suffix in (".png", ".csv", ".md")]
        with replace_file(paths[0]) as temporary:
            self.drawing.savefig(temporary, dpi=150)
        with replace_file(paths[1]) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            writer.writerows([_short(value) for value in row] for row in self.rows)
        with replace_file(paths[2]) as temporary:
            temporary.write_text(f"![{name}]({name}.png)\n\n{self.caption}\n", encoding="utf-8")
        return paths


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
