"""The metrics that the paper published (Tables 1 to 4, Figures 3 and 4)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def published() -> dict[str, Any]:
    """All of them: of Tables 1 to 3 the AUROC of each row by class, in the order of the data set's classes."""
    metrics: dict[str, Any] = json.loads(files("gradcon_ext.reproduce").joinpath("published.json").read_text())
    return metrics


def published_row(table: str, row: str) -> list[float]:
    """AUROC by class and the average at last, as printed in a row of "table1", "table2" or "table3"."""
    metrics = published()[table][row]
    return [*metrics["classes"], metrics["average"]]
