"""What Python functions and objects hold."""

from __future__ import annotations

import functools
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from gradcon_ext.chain.code_names import names_in, only_collects_in
from gradcon_ext.chain.ownership import is_own

_COLLECTORS = (list, dict, set, deque, defaultdict, OrderedDict, Counter)


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


def read_by(function: types.FunctionType) -> list[Any]:
    """What a function closes over, its defaults, and what the names in its code stand for if it is the user's.

    A container that it does no more than collect in is none of what it reads.
    """
    code = function.__code__
    scope = function.__globals__ if is_own(function) else {}
    defaults = function.__defaults__ or ()
    held = [
        *zip(code.co_freevars, map(contents_of, function.__closure__ or ()), strict=True),
        *zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True),
        *(function.__kwdefaults__ or {}).items(),
        *((name, scope.get(name)) for name in names_in(code)),
    ]
    return [value for name, value in held if not (type(value) in _COLLECTORS and only_collects_in(code, name))]


def contents_of(cell: types.CellType) -> Any:
    """Return what a closure holds in a cell, None where nothing is bound yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def attributes_of(value: Any) -> list[Any]:
    """Return what the attributes of an object hold, or nothing of one that has none."""
    return list(getattr(value, "__dict__", {}).values())
