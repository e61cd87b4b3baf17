"""Modules of benchmarks/, which are not installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def benchmark_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import one by its name in the package `benchmarks`."""
    monkeypatch.setitem(sys.modules, "benchmarks", _package())
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # which benchmarks change
    return importlib.import_module(f"benchmarks.{name}")


def _package() -> ModuleType:
    """Ours, not that of Opacus; off the path, on which the checkout's gradcon_ext may have no binaries."""
    initial = Path(__file__).parents[2] / "benchmarks" / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "benchmarks", initial, submodule_search_locations=[str(initial.parent)]
    )
    assert spec is not None
    return importlib.util.module_from_spec(spec)
