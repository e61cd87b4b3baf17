from __future__ import annotations

import pytest
import torch

from gradcon_ext.report.place import brightest_place


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (0, 0, "at the top left"),
        (0, 4, "at the top"),
        (4, 4, "in the middle"),
        (4, 8, "in the middle right"),
        (8, 0, "at the bottom left"),
    ],
)
def test_ninths(row: int, column: int, words: str) -> None:
    values = torch.zeros(9, 9)
    values[row, column] = 1
    assert brightest_place(values) == words
    assert brightest_place(torch.zeros(1, 1)) == "at the top left"
