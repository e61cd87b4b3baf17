"""Packages whose names are imported when they are first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ["gradcon_ext.data", "gradcon_ext.data.reading"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there(name: str) -> None:
    package = import_module(name)
    for public in package.__all__:
        assert getattr(package, public) is not None
        assert public in dir(package)


@pytest.mark.parametrize("name", PACKAGES)
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        import_module(name).nothing  # noqa: B018


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_the_same_names(name: str) -> None:
    package = import_module(name)
    homes = {}
    for node in ast.walk(ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{name}."):
            homes |= {alias.name: str(node.module).removeprefix(f"{name}.") for alias in node.names}
    assert homes == package._HOMES
    assert homes.keys() == set(package.__all__)


def test_image_files_are_prepared_without_torch() -> None:
    code = """
import sys
from gradcon_ext.data.reading import Preparation, decode
from gradcon_ext.data.reading.decoding import read_header
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=sys.prefix, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
