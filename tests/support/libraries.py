"""Libraries that some tests need and the package does not."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest


def library(module: str) -> Any:
    """Import it; without it the test, or the whole file, is skipped, or fails with GRADCON_REQUIRE_LIBRARIES=1."""
    if os.environ.get("GRADCON_REQUIRE_LIBRARIES") == "1":
        return import_module(module)
    return pytest.importorskip(module)
