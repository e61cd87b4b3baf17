"""What a function's Python code reads from outside, as far as its names tell."""

from __future__ import annotations

import dis
import opcode
import os
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

_IMPORT = opcode.opmap["IMPORT_NAME"]
_UNSEEABLE = frozenset(
    (
        *(
            "globals",
            "eval",
            "exec",
            "__import__",
            "import_module",
            "_getframe",
            "currentframe",
            "backends",
            "open",
        ),
        *("get_num_threads", "get_num_interop_threads", "get_float32_matmul_precision", "get_default_device"),
        *("are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled"),
        *("default_rng", "get_rng_state", "initial_seed"),
    )
)
_OF_FILES = frozenset(
    ("path", "exists", "isfile", "isdir", "listdir", "scandir", "stat", "getpid", "urandom", "getcwd")
)
CONSTRUCTORS = frozenset(("__init__", "__new__", "__class_getitem__"))
_NOT_IN_A_FORWARD = frozenset(
    (
        *(*CONSTRUCTORS, "__init_subclass__", "__set_name__", "__del__", "__repr__"),
        *("__str__", "__format__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__"),
        "__deepcopy__",
    )
)
COMPUTED = frozenset(
    ("getattr", "hasattr", "vars", "__dict__", "attrgetter", "getmembers", "format", "format_map", "vformat")
)
"""With these, code reads attributes whose names do not stand in it."""
ENVIRONMENT = frozenset(("environ", "getenv", "environb"))
_COLLECTING = frozenset(("append", "appendleft", "extend", "extendleft", "insert", "add", "update", "clear"))
_OF_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_NO_READS = (*_OF_ATTRIBUTES, "LOAD_CONST", "LOAD_CLOSURE")


def names_in(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function and in those inside it."""
    for part in _parts_of(code):
        yield from part.co_names


def strings_in(code: types.CodeType) -> Iterator[str]:
    """Strings that may be names of attributes, as in `getattr(settings, "slope")` or `case Settings(slope=0)`."""
    for part in _parts_of(code):
        for constant in part.co_consts:
            texts = constant if isinstance(constant, tuple) else (constant,)
            yield from (text for text in texts if isinstance(text, str) and text.isidentifier())


def imported_in(code: types.CodeType, scope: Mapping[str, Any]) -> list[str]:
    """Full names of the modules that a function imports when it runs."""
    package = str(scope.get("__package__") or "")
    found = []
    for part in _parts_of(code):
        if _IMPORT in part.co_code[::2]:
            found += [name for level, name in _imports(part) for name in _absolute(name, level, package)]
    return found


def unseeable_in(names: set[str], scope: Mapping[str, Any]) -> str | None:
    """Return a name in code that gives it access to what cannot be compared, if any."""
    if "modules" in names and scope.get("sys") is sys:
        return "sys.modules"
    if scope.get("os") is os and "os" in names and (names & _OF_FILES or not names & ENVIRONMENT):
        return "os"
    if "random" in names and any(scope.get(name) is sys.modules.get("numpy", scope) for name in names):
        return "numpy.random"
    return min(_UNSEEABLE & names, default=None)


def reads_identities(code: types.CodeType) -> bool:
    """Whether code calls `id`, and not just names an attribute so."""
    return any(
        instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval == "id"
        for part in _parts_of(code)
        if "id" in part.co_names
        for instruction in dis.get_instructions(part)
    )


def only_collects_in(code: types.CodeType, name: str) -> bool:
    """Whether code does no more with the container of a name than add to it, set items of it or clear it."""
    for part in _parts_of(code):
        instructions = list(dis.get_instructions(part))
        for index, instruction in enumerate(instructions):
            if _reads(instruction, name) and not _collects(instructions[index + 1 :]):
                return False
    return True


def _reads(instruction: dis.Instruction, name: str) -> bool:
    loads = instruction.opname.startswith("LOAD_") and instruction.opname not in _NO_READS
    # Some versions of Python load two variables at once.
    return loads and (
        instruction.argval == name or (isinstance(instruction.argval, tuple) and name in instruction.argval)
    )


def _collects(after: list[dis.Instruction]) -> bool:
    """Whether the instructions after a container was loaded start by adding to it, or setting an item of it."""
    first = after[0]
    if first.opname in _OF_ATTRIBUTES:
        return first.argval in _COLLECTING
    if not first.opname.startswith("LOAD_") or isinstance(first.argval, tuple):
        return False
    beyond_key = next(instruction for instruction in after[1:] if instruction.opname != "LOAD_ATTR")
    return beyond_key.opname == "STORE_SUBSCR"


def runs_unnamed(name: str) -> bool:
    """Whether a method of that name may run in a forward though no code names it."""
    is_special = name.startswith("__") and name.endswith("__")
    return name == "forward" or (is_special and name not in _NOT_IN_A_FORWARD)


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
