"""What a function's Python code reads from outside, as far as its names tell."""

from __future__ import annotations

import dis
import functools
import opcode
import os
import random
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LIBRARIES = frozenset(("builtins", "gradcon_ext", "math", "numpy", "torch", "typing"))
# Published packages, by what is imported of each. Their modules are not known to hold a setting that a forward's result
# depends on, but much that no forward reads and that cannot be compared.
_FRAMEWORKS = frozenset(
    (
        *(
            "IPython",
            "PIL",
            "_pytest",
            "accelerate",
            "albumentations",
            "anomalib",
            "captum",
            "cv2",
            "datasets",
            "diffusers",
        ),
        *("einops", "fastai", "faiss", "fsspec", "huggingface_hub", "hypothesis", "ignite", "ipykernel", "joblib"),
        *(
            "kornia",
            "lightning",
            "lightning_fabric",
            "lightning_utilities",
            "matplotlib",
            "monai",
            "onnxruntime",
            "open_clip",
        ),
        *("opacus", "pandas", "peft", "pydantic", "pytest", "pytorch_lightning", "pytorch_ood", "pyod", "requests"),
        *("safetensors", "scipy", "segmentation_models_pytorch", "skimage", "sklearn", "tensorboard", "timm"),
        *(
            "tokenizers",
            "torchao",
            "torchaudio",
            "torchmetrics",
            "torchvision",
            "tqdm",
            "transformers",
            "wandb",
            "yaml",
        ),
    )
)
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
            "id",
        ),
        *("get_num_threads", "get_num_interop_threads", "get_float32_matmul_precision", "get_default_device"),
        *("are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled"),
        *("default_rng", "get_rng_state", "initial_seed"),
    )
)
_OUTSIDE = frozenset(
    (
        *("_io", "_thread", "ctypes", "datetime", "gc", "glob", "io", "logging", "mmap", "multiprocessing", "pathlib"),
        *("platform", "posix", "psutil", "random", "resource", "secrets", "select", "shelve", "shutil", "signal"),
        *(
            "genericpath",
            "ntpath",
            "posixpath",
            "socket",
            "sqlite3",
            "subprocess",
            "tempfile",
            "threading",
            "time",
            "urllib",
            "uuid",
        ),
    )
)
"""Modules of what is outside the process's own objects, or changes by itself: clocks, chance, files, threads."""
_OF_FILES = frozenset(
    ("path", "exists", "isfile", "isdir", "listdir", "scandir", "stat", "getpid", "urandom", "getcwd")
)
CONSTRUCTORS = frozenset(("__init__", "__new__", "__class_getitem__"))
_MAKERS = frozenset(("abc", "builtins", "collections", "dataclasses", "enum", "types", "typing"))
_NOT_IN_A_FORWARD = frozenset(
    (
        *(*CONSTRUCTORS, "__init_subclass__", "__set_name__", "__del__", "__repr__"),
        *("__str__", "__format__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__"),
        "__deepcopy__",
    )
)
COMPUTED = frozenset(("getattr", "hasattr", "vars", "__dict__", "attrgetter", "getmembers"))
"""With these, code reads attributes whose names do not stand in it."""
ENVIRONMENT = frozenset(("environ", "getenv", "environb"))


def is_own(definition: Any) -> bool:
    """Whether a class, function or module is the user's, installed or not, not of a library, a framework or Python."""
    name = _module_of(definition)
    return not (is_in_library(definition) or is_in_framework(definition) or _is_of_python(name))


def is_in_library(definition: Any) -> bool:
    """Whether it is of a library whose objects are known to keep their settings in plain attributes."""
    return _module_of(definition).partition(".")[0] in _LIBRARIES


def is_in_framework(definition: Any) -> bool:
    """Whether it is of a published package of whose insides only the classes of a model's modules are looked at."""
    top = _module_of(definition).partition(".")[0]
    return top in _FRAMEWORKS and _is_installed(top)


@functools.cache
def _is_installed(top: str) -> bool:
    # A user's own file may have the name of a framework.
    module = sys.modules.get(top)
    return module is None or "-packages" in str(getattr(module, "__file__", None))


def _module_of(definition: Any) -> str:
    name = _name_of_module(definition)
    if not isinstance(name, str) or (name in _MAKERS and _is_made(definition, name)):
        return ""
    return name


def _is_made(definition: Any, module: str) -> bool:
    """Whether it says to be of a module that has only made it, as `exec` does in a namespace without a name."""
    if isinstance(definition, type):
        return vars(sys.modules[module]).get(definition.__name__) is not definition
    return isinstance(definition, types.FunctionType) and definition.__globals__ is not vars(sys.modules[module])


def _name_of_module(definition: Any) -> Any:
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


def outside(value: Any) -> str | None:
    """Return the name of what a value gives access to, where that changes without any object that could be compared."""
    kind = type(value)
    if kind.__module__ in ("ctypes", "_ctypes"):
        return "ctypes"
    if is_generator(value):
        return "random numbers"
    if isinstance(value, threading.local):
        return "threading.local"
    if isinstance(value, types.ModuleType):
        name = vars(value).get("__name__")
        return (
            name if isinstance(name, str) and (name.partition(".")[0] in _OUTSIDE or name == "numpy.random") else None
        )
    if isinstance(value, type | types.BuiltinFunctionType | types.FunctionType):
        return value.__name__ if _module_of(value).partition(".")[0] in _OUTSIDE else None
    return None


def is_generator(value: Any) -> bool:
    """Whether it draws random numbers for Python or numpy."""
    return isinstance(value, random.Random) or type(value).__module__.startswith("numpy.random")


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
