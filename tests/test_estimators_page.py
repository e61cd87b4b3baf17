"""The Python in the pages on other libraries' detectors runs, where those libraries are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.libraries import library
from support.stated_numbers import assert_printed_as_stated
from support.torchvision_operators import torchvision_importable

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS = {"estimators.md": 4, "examples/classifier.md": 1}
"""How many blocks each page has."""
BLOCKS = {
    page: re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for page in NUMBERS
}


@pytest.mark.parametrize("block", [pytest.param(block, id=page) for page, blocks in BLOCKS.items() for block in blocks])
def test_the_python_runs(block: str, capsys) -> None:
    with torchvision_importable():
        for name in ("pyod", "pytorch_ood"):
            if name in block:
                library(name)
        exec(compile(block, "page", "exec"), {})
    printed = capsys.readouterr().out
    assert printed
    assert_printed_as_stated(block, printed)


def test_there_is_python() -> None:
    assert {page: len(blocks) for page, blocks in BLOCKS.items()} == NUMBERS
