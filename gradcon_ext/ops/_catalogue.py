"""The only place that names `torch.ops.gradcon_ext`: importing the compiled module registers every op."""

from __future__ import annotations

import importlib
from typing import Any

import torch

importlib.import_module("gradcon_ext._install.ops")

compiled = torch.ops.gradcon_ext

_REFUSAL = "gradcon_ext: "
"""Begins the message of every check in C++; csrc/core/require.hpp."""


def call(name: str, *arguments: Any) -> Any:
    """Call a compiled op below automatic differentiation; the caller sees to it, at a third of the cost.

    Raises:
        ValueError: the op refuses its arguments; the message begins with its name.
    """
    try:
        if torch.compiler.is_compiling():  # which does not follow the guard
            return getattr(compiled, name)(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return getattr(compiled, name)(*arguments)
    except (ValueError, RuntimeError) as error:  # of a C++ exception, torch 2.15 passes on the text alone
        _, is_refusal, reason = str(error).partition(_REFUSAL)
        if not is_refusal:
            raise
        raise ValueError(f"{name}: {reason}") from None
