"""Loads the compiled module that needs no torch, and says why an installation cannot be used.

Scores without torch begin with this module, so it imports nothing that takes time before something is wrong.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from gradcon_ext.version import __version__

REBUILD = "pip install --force-reinstall --no-deps ."

_FOLDER = os.path.dirname(os.path.dirname(__file__))


def refusal(reason: str, command: str) -> ImportError:
    """Return the error of an installation that cannot be used, with the command that mends it."""
    return ImportError(
        f"gradcon_ext in {_FOLDER} cannot be used: {reason}.\n"
        f"To mend it, run in the folder of its source:\n\n    {command}\n"
    )


def missing(name: str) -> ImportError:
    """Return the refusal for a compiled module that is not there."""
    found = _binaries(_FOLDER, name)
    if found:
        return refusal(f"{found[0]} is for another Python than {sys.version.split()[0]}", REBUILD)
    hidden = [folder for folder in sys.path if _binaries(os.path.join(folder, "gradcon_ext"), name)]
    if hidden:
        # As `python -m pytest` does in the source folder, which Python puts first on its path.
        reason = f"it is the source, not compiled, and comes before the package installed in {hidden[0]}"
        return refusal(reason, "pip install --no-deps -e .")
    return refusal(f"its compiled module {name} is missing", REBUILD)


def load_runtime() -> ModuleType:
    """Import `gradcon_ext._runtime`, once it fits this package and this processor.

    Raises:
        ImportError: it does not; the message says what to do.
    """
    try:
        runtime = importlib.import_module("gradcon_ext._runtime")
    except ModuleNotFoundError:
        raise missing("_runtime") from None
    if runtime.version != __version__:
        reason = f"it is version {__version__}, and its compiled modules are version {runtime.version}"
        raise refusal(reason, REBUILD)
    try:
        runtime.cpu_capability()
    except RuntimeError as error:
        raise refusal(str(error), "unset GRADCON_CPU_CAPABILITY") from None
    return runtime


def _binaries(folder: str, name: str) -> list[str]:
    """Names of the files in a folder that hold a compiled module for some Python."""
    if not os.path.isdir(folder):
        return []
    return sorted(file for file in os.listdir(folder) if file.startswith(f"{name}.") and file.endswith(".so"))
