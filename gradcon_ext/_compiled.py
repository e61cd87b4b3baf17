"""Loads the compiled modules: importing this one registers the ops, or says why they cannot be used.

It comes before every other import of the package, so that a wrong installation shows as what it is.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from gradcon_ext._installation import REBUILD, load_runtime, missing, refusal


def _release(version: str) -> tuple[int, int]:
    """(2, 13) of "2.13.0+cpu", and of "<2.13"."""
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _load_ops(runtime: ModuleType) -> None:
    """Register the ops with torch, once it is one that they were built for."""
    if not runtime.torch_version:
        reason = "it was installed with GRADCON_RUNTIME=1, without torch and for gradcon_ext.runtime alone"
        raise refusal(reason, "pip install .")
    import torch  # Before the ops, which take the libraries that it loads.

    low, high = (_release(bound) for bound in runtime.torch_range.split(","))
    if not low <= _release(torch.__version__) < high:
        reason = f"torch {torch.__version__} is installed, and it runs with torch{runtime.torch_range}"
        raise refusal(reason, f"pip install 'torch{runtime.torch_range}'")
    try:
        importlib.import_module("gradcon_ext._C")
    except ModuleNotFoundError:
        raise missing("_C") from None
    except ImportError as error:
        built_against = runtime.torch_version
        reason = f"built against torch {built_against}, it does not load beside {torch.__version__} ({error})"
        raise refusal(reason, REBUILD) from None


runtime = load_runtime()
_load_ops(runtime)
