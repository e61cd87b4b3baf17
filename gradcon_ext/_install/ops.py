"""Loads the compiled modules: importing this one registers the ops, or says why they cannot be used.

It comes before every other import of the package, so that a wrong installation shows as what it is.
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from gradcon_ext._install.runtime import REBUILD, load_runtime, missing, refusal
from gradcon_ext._install.torch_versions import NEWEST_TESTED, OLDEST, REQUIREMENT, is_too_old, is_untested


def _load_ops(runtime: ModuleType) -> None:
    """Register the ops with torch, once it is one that they were built for."""
    if not runtime.torch_version:
        reason = "it was installed with GRADCON_RUNTIME=1, without torch and for gradcon_ext.runtime alone"
        raise refusal(reason, "pip install .")
    import torch  # Before the ops, which take the libraries that it loads.

    if is_too_old(torch.__version__):
        reason = f"torch {torch.__version__} is installed, and it runs with {REQUIREMENT}"
        raise refusal(reason, f"pip install '{REQUIREMENT}'")
    try:
        importlib.import_module("gradcon_ext._C")
    except ModuleNotFoundError:
        raise missing("_C") from None
    except ImportError as error:
        built_against = runtime.torch_version
        reason = f"built against torch {built_against}, it does not load beside {torch.__version__} ({error})"
        raise refusal(reason, REBUILD) from None
    if is_untested(torch.__version__):
        warnings.warn(
            f"gradcon_ext was tested with torch {OLDEST} to {NEWEST_TESTED}, and not yet with {torch.__version__}.",
            stacklevel=2,
        )


runtime = load_runtime()
_load_ops(runtime)
