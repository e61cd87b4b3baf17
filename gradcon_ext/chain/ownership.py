"""Whose a class, a function or a module is, and what gives access to what is outside the program."""

from __future__ import annotations

import functools
import random
import sys
import sysconfig
import threading
import types
from pathlib import Path
from typing import Any

_LIBRARIES = frozenset(("builtins", "gradcon_ext", "math", "numpy", "torch", "typing"))
# Published packages, by what is imported of each. Their modules are not known to hold a setting that a forward's result
# depends on, but much that no forward reads and that cannot be compared.
_FRAMEWORKS = frozenset(
    (
        *("_pytest", "accelerate", "albumentations", "anomalib", "captum", "cv2", "datasets", "diffusers"),
        *("einops", "faiss", "fastai", "fsspec", "huggingface_hub", "hypothesis", "ignite", "ipykernel"),
        *("IPython", "joblib", "kornia", "lightning", "lightning_fabric", "lightning_utilities", "matplotlib"),
        *("monai", "onnxruntime", "opacus", "open_clip", "pandas", "peft", "PIL", "pydantic", "pyod", "pytest"),
        *("pytorch_lightning", "pytorch_ood", "requests", "safetensors", "scipy"),
        *("segmentation_models_pytorch", "skimage", "sklearn", "tensorboard", "timm", "tokenizers", "torchao"),
        *("torchaudio", "torchmetrics", "torchvision", "tqdm", "transformers", "wandb", "yaml"),
    )
)
_OUTSIDE = frozenset(
    (
        *("_io", "_thread", "ctypes", "datetime", "gc", "genericpath", "glob", "io", "logging", "mmap"),
        *("multiprocessing", "ntpath", "pathlib", "platform", "posix", "posixpath", "psutil", "random"),
        *("resource", "secrets", "select", "shelve", "shutil", "signal", "socket", "sqlite3", "subprocess"),
        *("tempfile", "threading", "time", "urllib", "uuid"),
    )
)
"""Modules of what is outside the process's own objects, or changes by itself: clocks, chance, files, threads."""
_MAKERS = frozenset(("abc", "builtins", "collections", "dataclasses", "enum", "types", "typing"))


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
