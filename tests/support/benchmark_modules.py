"""Modules of benchmarks/, which are not installed."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def benchmark_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import one by its name in the package `benchmarks`."""
    # Behind everything else: the checkout's gradcon_ext may have no binaries.
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # which benchmarks change
    return importlib.import_module(f"benchmarks.{name}")
