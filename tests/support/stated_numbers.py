"""Numbers that the Python of a page says it prints."""

from __future__ import annotations

import re

import pytest

TOLERANCE = 0.02
"""Of an AUROC, by which processors differ at the end of a training."""


def assert_printed_as_stated(block: str, printed: str) -> None:
    """Check what was printed against comments as `print(x)  # 0.78` or `# one 0.78, other 0.65`, if there are any."""
    comments = " ".join(re.findall(r"print\(.*\)  # ((?:\w+ )?0\..*)", block))
    stated, given = ([float(number) for number in re.findall(r"\b0\.\d+", text)] for text in (comments, printed))
    assert not stated or given == pytest.approx(stated, abs=TOLERANCE)
