"""The names of the package, which are imported when they are first used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gradcon_ext


@pytest.mark.parametrize("name", gradcon_ext.__all__)
def test_every_name_is_there(name: str) -> None:
    value = getattr(gradcon_ext, name)
    assert name in dir(gradcon_ext)
    assert getattr(value, "__name__", name).rpartition(".")[2] == name


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="'gradcon_ext'.*'trainer_of'"):
        gradcon_ext.trainer_of  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    imports = {}
    for node in ast.walk(ast.parse(Path(gradcon_ext.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradcon_ext"):
            imports |= {alias.name: node.module for alias in node.names}
    assert imports.keys() == set(gradcon_ext.__all__)
    homes = {name: module.removeprefix("gradcon_ext.") for name, module in imports.items() if module != "gradcon_ext"}
    assert homes == {"__version__": "version", **gradcon_ext._HOMES}
