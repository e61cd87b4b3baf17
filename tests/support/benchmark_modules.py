"""Modules of benchmarks/, which are not installed."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

_FOLDER = Path(__file__).parents[2] / "benchmarks"


def benchmark_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import one by its name in the package `benchmarks`."""
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # which benchmarks change
    if list(getattr(sys.modules.get("benchmarks"), "__path__", ())) != [str(_FOLDER)]:
        sys.modules["benchmarks"] = _package()
    return importlib.import_module(f"benchmarks.{name}")


def _package() -> ModuleType:
    """Ours, not that of Opacus; off the path, on which the checkout's gradcon_ext may have no binaries."""
    spec = spec_from_file_location("benchmarks", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)])
    assert spec is not None and spec.loader is not None
    package = module_from_spec(spec)
    spec.loader.exec_module(package)
    return package
