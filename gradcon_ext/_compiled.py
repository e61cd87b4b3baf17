"""Loads the compiled modules: importing this one registers the ops, or says why they cannot be used.

It comes before every other import of the package, so that a wrong installation shows as what it is.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from gradcon_ext.version import __version__

_FOLDER = Path(__file__).parent
_REBUILD = "pip install --force-reinstall --no-deps ."


def _refusal(reason: str, command: str) -> ImportError:
    return ImportError(
        f"gradcon_ext in {_FOLDER} cannot be used: {reason}.\n"
        f"To mend it, run in the folder of its source:\n\n    {command}\n"
    )


def _release(version: str) -> tuple[int, int]:
    """(2, 13) of "2.13.0+cpu", and of "<2.13"."""
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _missing(name: str) -> ImportError:
    """The refusal for a compiled module that is not there."""
    found = [file.name for file in _FOLDER.glob(f"{name}.*.so")]
    if found:
        return _refusal(f"{found[0]} is for another Python than {sys.version.split()[0]}", _REBUILD)
    hidden = [folder for folder in sys.path if any(Path(folder, "gradcon_ext").glob(f"{name}.*.so"))]
    if hidden:
        # As `python -m pytest` does in the source folder, which Python puts first on its path.
        reason = f"it is the source, not compiled, and comes before the package installed in {hidden[0]}"
        return _refusal(reason, "pip install --no-deps -e .")
    return _refusal(f"its compiled module {name} is missing", _REBUILD)


def _load_runtime() -> ModuleType:
    """The facts of the build, once they fit this package and this processor."""
    try:
        runtime = importlib.import_module("gradcon_ext._runtime")
    except ModuleNotFoundError:
        raise _missing("_runtime") from None
    if runtime.version != __version__:
        reason = f"it is version {__version__}, and its compiled modules are version {runtime.version}"
        raise _refusal(reason, _REBUILD)
    try:
        runtime.cpu_capability()
    except RuntimeError as error:
        raise _refusal(str(error), "unset GRADCON_CPU_CAPABILITY") from None
    return runtime


def _load_ops(runtime: ModuleType) -> None:
    """Register the ops with torch, once it is one that they were built for."""
    import torch  # Before the ops, which take the libraries that it loads.

    low, high = (_release(bound) for bound in runtime.torch_range.split(","))
    if not low <= _release(torch.__version__) < high:
        reason = f"torch {torch.__version__} is installed, and it runs with torch{runtime.torch_range}"
        raise _refusal(reason, f"pip install 'torch{runtime.torch_range}'")
    try:
        importlib.import_module("gradcon_ext._C")
    except ModuleNotFoundError:
        raise _missing("_C") from None
    except ImportError as error:
        built_against = runtime.torch_version
        reason = f"built against torch {built_against}, it does not load beside {torch.__version__} ({error})"
        raise _refusal(reason, _REBUILD) from None


runtime = _load_runtime()
_load_ops(runtime)
