"""Fixtures of all tests, and the one place that decides what is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets, GRADCON_DATA."""
    folder = os.environ.get("GRADCON_DATA")
    if folder:
        return Path(folder)
    if os.environ.get("GRADCON_REQUIRE_DATA") == "1":
        pytest.fail("GRADCON_REQUIRE_DATA=1, but GRADCON_DATA names no folder")
    pytest.skip("needs real data: GRADCON_DATA names its folder")
