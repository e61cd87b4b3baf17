"""Nothing of another library is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

LIBRARIES = ("sklearn", "pyod", "numba", "pytorch_ood", "torchvision", "datasets", "webdataset", "pandas")


def imported_by(statement: str) -> set[str]:
    printed = f"import sys; {statement}; print(*(name for name in {LIBRARIES} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", printed], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ("import gradcon_ext", set()),
        ("from gradcon_ext import Scorer, Trainer", set()),
        ("import gradcon_ext.sklearn", {"sklearn", "pandas"}),  # scikit-learn looks for pandas itself.
    ],
)
def test_what_is_imported(statement: str, may: set[str]) -> None:
    assert imported_by(statement) <= may


@pytest.mark.parametrize(("module", "library"), [("pyod", "pyod"), ("pytorch_ood", "pytorch-ood")])
def test_an_extra_that_is_missing_is_named(module: str, library: str) -> None:
    hide = f"import sys; sys.modules['{module}'] = None; import gradcon_ext.{module}"
    run = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"pip install 'gradcon_ext[{library}]'" in run.stderr


def test_pyod_is_imported_by_its_module_alone() -> None:
    if find_spec("pyod") is None:
        pytest.skip("needs the extra pyod")
    assert {"pyod", "sklearn"} <= imported_by("import gradcon_ext.pyod")
