"""Nothing of another library is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.libraries import library

# Processes run in `sys.prefix`, and not in the source, which comes before the installed package.
RUNTIME = {"numpy", "safetensors"}
BASE = RUNTIME | {"torch", "PIL", "tqdm", "threadpoolctl"}
OTHERS = {
    *("sklearn", "scipy", "pandas", "matplotlib", "jinja2", "pooch", "imagecodecs", "tifffile"),
    *("ray", "pyarrow", "fsspec", "fastapi", "starlette", "uvicorn", "prometheus_client", "orjson"),
    *("onnx", "onnxruntime", "pyod", "numba", "pytorch_ood", "torchvision", "timm", "datasets", "webdataset"),
    *("mlflow", "tensorboard"),
}


def imported_by(statement: str) -> set[str]:
    """Those of the libraries that a fresh process has imported after a statement, whatever it prints."""
    found = f"import sys; {statement}; print(*({BASE | OTHERS} & set(sys.modules)), sep=',')"
    run = subprocess.run([sys.executable, "-c", found], cwd=sys.prefix, capture_output=True, text=True, check=True)
    return set(filter(None, run.stdout.splitlines()[-1].split(",")))


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ("import gradcon_ext", set()),
        ("import gradcon_ext.data.reading, gradcon_ext.export, gradcon_ext.report, gradcon_ext.serving", set()),
        ("import gradcon_ext.scoring, gradcon_ext.training", set()),
        ("import gradcon_ext.runtime", RUNTIME),
        ("import gradcon_ext.challenges", {"numpy", "PIL"}),
        ("from gradcon_ext import *; import gradcon_ext.features, gradcon_ext.reproduce", BASE),
        ("import gradcon_ext.ray", BASE | {"pyarrow", "fsspec"}),
        ("from gradcon_ext.cli import main; main(['--help'])", BASE),
        ("from gradcon_ext.cli import main; main(['serve', '--help'])", BASE),
        ("import gradcon_ext.sklearn", BASE | {"sklearn", "scipy", "pandas", "pyarrow"}),  # pandas, if it is there
    ],
)
def test_what_is_imported(statement: str, may: set[str]) -> None:
    assert imported_by(statement) <= may


@pytest.mark.parametrize(("module", "library"), [("pyod", "pyod"), ("pytorch_ood", "pytorch-ood")])
def test_an_extra_that_is_missing_is_named(module: str, library: str) -> None:
    hide = f"import sys; sys.modules['{module}'] = None; import gradcon_ext.{module}"
    run = subprocess.run([sys.executable, "-c", hide], cwd=sys.prefix, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"pip install 'gradcon_ext[{library}]'" in run.stderr


def test_pyod_is_imported_by_its_module_alone() -> None:
    library("pyod")
    assert {"pyod", "sklearn"} <= imported_by("import gradcon_ext.pyod")
