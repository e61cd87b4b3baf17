"""An installation that cannot work says so where it is first needed, with the command that mends it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradcon_ext

REBUILD = "pip install --force-reinstall --no-deps ."


def copy_of_package(folder: Path) -> Path:
    package = folder / "gradcon_ext"
    shutil.copytree(Path(gradcon_ext.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the installed package, to damage."""
    return copy_of_package(tmp_path)


def stand_in_for_torch(package: Path, version: str) -> None:
    """Put a torch that only has a version where `package` finds it."""
    (package.parent / "torch.py").write_text(f'__version__ = "{version}"\n')


FIRST_USES = (
    "import gradcon_ext; gradcon_ext.Scorer",
    "from gradcon_ext import Trainer",
    "from gradcon_ext import ops",
    "import gradcon_ext.cli",
)


def failed_import(
    package: Path, *further_folders: Path, code: str = "import gradcon_ext; gradcon_ext.Scorer", **environment: str
) -> str:
    """What `code` ends with where the path has `package` and neither torch nor an installed one."""
    path = os.pathsep.join(map(str, [package.parent, *further_folders]))
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=package.parent,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    message = result.stderr.rpartition("\nImportError: ")[2]
    assert f"gradcon_ext in {package} cannot be used" in message, result.stderr
    return message


def only_file(package: Path, pattern: str) -> Path:
    (file,) = package.glob(pattern)
    return file


@pytest.mark.parametrize("code", FIRST_USES)
def test_missing_runtime(package: Path, code: str) -> None:
    only_file(package, "_runtime.*.so").unlink()
    message = failed_import(package, code=code)
    assert "compiled module _runtime is missing" in message
    assert REBUILD in message


def test_missing_ops(package: Path) -> None:
    stand_in_for_torch(package, "2.13.0")
    only_file(package, "_C.*.so").unlink()
    message = failed_import(package)
    assert "compiled module _C is missing" in message
    assert REBUILD in message


def test_source_that_hides_the_installed_package(package: Path, tmp_path: Path) -> None:
    site_packages = tmp_path / "site-packages"
    copy_of_package(site_packages)
    for binary in package.glob("*.so"):
        binary.unlink()
    message = failed_import(package, site_packages)
    assert f"comes before the package installed in {site_packages}" in message
    assert "pip install --no-deps -e ." in message


def test_binary_for_another_python(package: Path) -> None:
    only_file(package, "_runtime.*.so").rename(package / "_runtime.cpython-39-x86_64-linux-gnu.so")
    message = failed_import(package)
    assert "_runtime.cpython-39-x86_64-linux-gnu.so is for another Python" in message
    assert REBUILD in message


def test_binary_of_another_version(package: Path) -> None:
    (package / "version.py").write_text('__version__ = "0.0.1"\n')
    message = failed_import(package)
    assert re.search(r"it is version 0\.0\.1, and its compiled modules are version \d", message)
    assert REBUILD in message


@pytest.mark.parametrize("version", ["2.9.1", "2.14.0", "3.0.0+cpu"])
def test_torch_out_of_range(package: Path, version: str) -> None:
    stand_in_for_torch(package, version)
    message = failed_import(package)
    assert f"torch {version} is installed, and it runs with torch>=2.10,<2.14" in message
    assert "pip install 'torch>=2.10,<2.14'" in message


def test_ops_that_do_not_load(package: Path) -> None:
    stand_in_for_torch(package, "2.13.0")
    only_file(package, "_C.*.so").write_bytes(b"not a library")
    message = failed_import(package)
    assert re.search(r"built against torch 2\.\d+\.\d\S*, it does not load beside 2\.13\.0 ", message)
    assert REBUILD in message


def test_installed_without_torch(package: Path) -> None:
    only_file(package, "_runtime.*.so").unlink()
    stand_in = 'torch_version = ""\nversion = {!r}\ncpu_capability = lambda: "default"\n'
    (package / "_runtime.py").write_text(stand_in.format(gradcon_ext.__version__))
    message = failed_import(package)
    assert "installed with GRADCON_RUNTIME=1, without torch" in message
    assert "pip install .\n" in message


def test_unknown_capability(package: Path) -> None:
    message = failed_import(package, GRADCON_CPU_CAPABILITY="sse9")
    assert "sse9" in message
    assert "unset GRADCON_CPU_CAPABILITY" in message
