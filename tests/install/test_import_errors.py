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
from gradcon_ext._install.torch_versions import NEWEST_TESTED, OLDEST

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
    assert str(package) in message, result.stderr
    return message


def only_file(package: Path, pattern: str) -> Path:
    (file,) = package.glob(pattern)
    return file


@pytest.mark.parametrize("code", FIRST_USES)
def test_missing_runtime(package: Path, code: str) -> None:
    only_file(package, "_runtime.*.so").unlink()
    message = failed_import(package, code=code)
    assert re.search("_runtime .*missing", message)
    assert REBUILD in message


def test_missing_ops(package: Path) -> None:
    stand_in_for_torch(package, "2.13.0")
    only_file(package, "_C.*.so").unlink()
    message = failed_import(package)
    assert re.search("_C .*missing", message)
    assert REBUILD in message


def test_source_that_hides_the_installed_package(package: Path, tmp_path: Path) -> None:
    site_packages = tmp_path / "site-packages"
    copy_of_package(site_packages)
    for binary in package.glob("*.so"):
        binary.unlink()
    message = failed_import(package, site_packages)
    assert re.search(f"installed in {site_packages}", message)
    assert "pip install --no-deps -e ." in message


def test_binary_for_another_python(package: Path) -> None:
    only_file(package, "_runtime.*.so").rename(package / "_runtime.cpython-39-x86_64-linux-gnu.so")
    message = failed_import(package)
    assert "_runtime.cpython-39-x86_64-linux-gnu.so " in message
    assert REBUILD in message


def test_binary_of_another_version(package: Path) -> None:
    (package / "version.py").write_text('__version__ = "0.0.1"\n')
    message = failed_import(package)
    assert re.search(rf"version 0\.0\.1.*compiled.*version {gradcon_ext.__version__}", message)
    assert REBUILD in message


@pytest.mark.parametrize("version", ["2.9.1", "1.13.0+cpu"])
def test_torch_that_is_too_old(package: Path, version: str) -> None:
    stand_in_for_torch(package, version)
    message = failed_import(package)
    assert re.search(rf"torch {re.escape(version)} .*torch>=2.10", message)
    assert "pip install 'torch>=2.10'" in message


IMPORT_WITH_ANOTHER_VERSION = """
import torch
torch.__version__ = {!r}
import gradcon_ext.ops
from gradcon_ext import Scorer
"""


def import_with_torch_named(version: str, *options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Import the installed package with the torch at hand, which says that it is of another version."""
    command = [sys.executable, *options, "-c", IMPORT_WITH_ANOTHER_VERSION.format(version)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["2.16.0", "2.16.0a0+git1234", "3.0.0+cpu"])
def test_torch_newer_than_any_tested_warns_once(tmp_path: Path, version: str) -> None:
    done = import_with_torch_named(version, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("UserWarning") == 1, done.stderr
    assert f"{OLDEST} to {NEWEST_TESTED}" in done.stderr
    assert version in done.stderr


@pytest.mark.parametrize("version", [f"{OLDEST}.0", f"{NEWEST_TESTED}.9+cu130"])
def test_torch_that_was_tested_warns_of_nothing(tmp_path: Path, version: str) -> None:
    done = import_with_torch_named(version, "-W", "error", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_where_warnings_are_errors_the_newer_torch_is_one(tmp_path: Path) -> None:
    done = import_with_torch_named("2.16.0", "-W", "error", folder=tmp_path)
    assert done.returncode == 1
    assert "UserWarning: gradcon_ext was tested with torch" in done.stderr


def test_where_warnings_are_errors_this_one_can_be_let_through(tmp_path: Path) -> None:
    let_through = "ignore:gradcon_ext was tested with torch:UserWarning"
    done = import_with_torch_named("2.16.0", "-W", "error", "-W", let_through, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_ops_that_do_not_load(package: Path) -> None:
    stand_in_for_torch(package, "2.13.0")
    only_file(package, "_C.*.so").write_bytes(b"not a library")
    message = failed_import(package)
    assert re.search(r"against torch 2\.\d+\.\d\S* .* 2\.13\.0 ", message)
    assert REBUILD in message


def test_installed_without_torch(package: Path) -> None:
    only_file(package, "_runtime.*.so").unlink()
    stand_in = 'torch_version = ""\nversion = {!r}\ncpu_capability = lambda: "default"\n'
    (package / "_runtime.py").write_text(stand_in.format(gradcon_ext.__version__))
    message = failed_import(package)
    assert "GRADCON_RUNTIME=1" in message
    assert "pip install .\n" in message


def test_unknown_capability(package: Path) -> None:
    message = failed_import(package, GRADCON_CPU_CAPABILITY="sse9")
    assert "sse9" in message
    assert "unset GRADCON_CPU_CAPABILITY" in message
