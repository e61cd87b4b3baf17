"""The Python in docs/estimators.md runs."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.torchvision_operators import torchvision_importable

PAGE = (Path(__file__).parents[1] / "docs" / "estimators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(1, len(BLOCKS) + 1)])
def test_the_python_runs(block: str, capsys) -> None:
    for library in ("pyod", "pytorch_ood"):
        if library in block and find_spec(library) is None:
            pytest.skip(f"needs the extra {library}")
    with torchvision_importable():
        exec(compile(block, "docs/estimators.md", "exec"), {})
    assert capsys.readouterr().out


def test_there_is_python() -> None:
    assert len(BLOCKS) == 4
