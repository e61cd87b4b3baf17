"""What a function's Python code reads from outside, as far as its names tell."""

from __future__ import annotations

import dis
import functools
import opcode
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LIBRARIES = frozenset(("builtins", "collections", "functools", "gradcon_ext", "math", "numpy", "torch", "typing"))
_IMPORT = opcode.opmap["IMPORT_NAME"]
_UNSEEABLE = frozenset(
    ("globals", "eval", "exec", "__import__", "import_module", "_getframe", "currentframe", "backends")
)
COMPUTED = frozenset(("getattr", "hasattr", "vars", "__dict__", "attrgetter", "getmembers"))
"""With these, code reads attributes whose names do not stand in it."""
ENVIRONMENT = frozenset(("environ", "getenv", "environb"))


def is_own(definition: Any) -> bool:
    """Whether a class, function or module is the user's, and none of a library or of Python, whose insides stay."""
    name = _module_of(definition)
    return not is_in_library(definition) and not (isinstance(name, str) and _is_of_python(name))


def is_in_library(definition: Any) -> bool:
    """Whether it is of a library whose objects are known to keep their settings in plain attributes."""
    name = _module_of(definition)
    return isinstance(name, str) and name.partition(".")[0] in _LIBRARIES


def _module_of(definition: Any) -> Any:
    if isinstance(definition, types.ModuleType):
        return vars(definition).get("__name__")
    # A function that functools.wraps has renamed still has its globals.
    scope = definition.__globals__ if isinstance(definition, types.FunctionType) else {}
    return scope.get("__name__", definition.__module__)


@functools.cache
def _is_of_python(name: str) -> bool:
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return False
    # A user's own file may have the name of one of Python's.
    origin = getattr(sys.modules.get(top), "__file__", None)
    return origin is None or Path(sysconfig.get_path("stdlib")) in Path(origin).parents or "lib-dynload" in origin


def names_in(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function and in those inside it."""
    for part in _parts_of(code):
        yield from part.co_names


def strings_in(code: types.CodeType) -> Iterator[str]:
    """Strings that may be names of attributes, as in `getattr(settings, "slope")`."""
    for part in _parts_of(code):
        yield from (text for text in part.co_consts if isinstance(text, str) and text.isidentifier())


def imported_in(code: types.CodeType, scope: Mapping[str, Any]) -> list[str]:
    """Full names of the modules that a function imports when it runs."""
    package = str(scope.get("__package__") or "")
    found = []
    for part in _parts_of(code):
        if _IMPORT in part.co_code[::2]:
            found += [name for level, name in _imports(part) for name in _absolute(name, level, package)]
    return found


def unseeable_in(names: set[str], scope: Mapping[str, Any]) -> str | None:
    """Return a name in code that gives it access to what cannot be compared, if any.

    Installed packages use such names for their own ends, so theirs are let pass.
    """
    if "site-packages" in str(scope.get("__file__")):
        return None
    if "modules" in names and scope.get("sys") is sys:
        return "sys.modules"
    return min(_UNSEEABLE & names, default=None)


def _parts_of(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _parts_of(constant)


def _imports(code: types.CodeType) -> Iterator[tuple[int, str]]:
    """Level and name of each import, and of what is imported from it, which may be a module too."""
    level, module = 0, ""
    constants: list[Any] = [0, None]
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_CONST") or instruction.opname == "LOAD_SMALL_INT":
            constants = [constants[-1], instruction.argval]
        elif instruction.opname == "IMPORT_NAME":
            level, module = constants[0], instruction.argval
            yield level, module
        elif instruction.opname == "IMPORT_FROM":
            yield level, f"{module}.{instruction.argval}" if module else instruction.argval


def _absolute(name: str, level: int, package: str) -> list[str]:
    if level == 0:
        parts = name.split(".")
        return [".".join(parts[: end + 1]) for end in range(len(parts))]
    base = package.rsplit(".", level - 1)[0]
    return [f"{base}.{name}" if name else base]
