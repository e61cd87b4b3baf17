"""What Python functions and objects hold."""

from __future__ import annotations

import functools
import types
from typing import Any

from gradcon_ext.chain.code_names import names_in
from gradcon_ext.chain.ownership import is_own


def function_of(member: Any) -> types.FunctionType | None:
    """The Python function of a method or property in a class; None for whatever else stands there."""
    function: Any = member
    if isinstance(member, functools.cached_property | functools.partialmethod):
        function = member.func
    elif isinstance(member, property):
        function = member.fget
    elif isinstance(member, staticmethod | classmethod):
        function = member.__func__
    return function if isinstance(function, types.FunctionType) else None


def held_by(function: types.FunctionType) -> list[Any]:
    """What a function closes over, and what its names stand for."""
    scope = function.__globals__ if is_own(function) else {}
    return [*map(contents_of, function.__closure__ or ()), *map(scope.get, names_in(function.__code__))]


def contents_of(cell: types.CellType) -> Any:
    """Return what a closure holds in a cell, None where nothing is bound yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def attributes_of(value: Any) -> list[Any]:
    """Return what the attributes of an object hold, or nothing of one that has none."""
    return list(getattr(value, "__dict__", {}).values())
