"""Layers whose computation is known: those of torch.nn, as torch made them and as their class says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as torch_module

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NORMS = (*BATCH_NORMS, nn.LayerNorm, nn.GroupNorm)

# A subclass may compute something else in its forward, so these are matched exactly.
KNOWN = frozenset((nn.Linear, *CONVOLUTIONS, *NORMS))
"""Kinds of layers whose parameters need no fallback."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_METHODS = (
    *("forward", "__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__getattribute__"),
    *("_conv_forward", "_output_padding", "_check_input_dim"),
)
_FUNCTIONS = (
    *("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "pad"),
    *("batch_norm", "layer_norm", "group_norm"),
)
_TORCH_FUNCTIONS = ("batch_norm", "layer_norm", "group_norm")


def _called() -> list[tuple[object, str, Any]]:
    """What a known layer calls, as it is now: (holder, name, function)."""
    holders: list[tuple[object, tuple[str, ...]]] = [(kind, _METHODS) for kind in KNOWN]
    holders += [(functional, _FUNCTIONS), (torch, _TORCH_FUNCTIONS)]
    return [(holder, name, getattr(holder, name, None)) for holder, names in holders for name in names]


def _is_torchs(function: Any) -> bool:
    """Whether torch or Python itself made it, also where it was replaced before this file was imported."""
    module: str | None = getattr(function, "__module__", None)
    return module is None or module.split(".")[0] in ("torch", "builtins")


_AT_IMPORT = [(holder, name, function if _is_torchs(function) else object()) for holder, name, function in _called()]


def obstacle_of_torch() -> str | None:
    """Why no layer's computation is known, if that is so."""
    for holder, name, function in _AT_IMPORT:
        if getattr(holder, name, None) is not function:
            return f"{getattr(holder, '__name__', holder)}.{name} has been replaced"
    for hooks in _HOOKS:
        if getattr(torch_module, f"_global{hooks}", None):
            return f"a global hook is registered (torch.nn.modules.module._global{hooks})"
    return None


def obstacle_of(layer: nn.Module) -> str | None:
    """Why the computation of a layer is not known, if that is so."""
    kind = type(layer)
    if kind not in KNOWN:
        return f"{kind.__name__} has no route of its own"
    for hooks in _HOOKS:
        if getattr(layer, hooks):
            return f"{kind.__name__} has {hooks.strip('_').replace('_', ' ')}"
    held = vars(layer)
    for name in (*_METHODS, "weight", "bias"):
        if name in held:
            return f"{kind.__name__} has its {name} replaced"
    for name in ("weight", "bias"):
        tensor = layer._parameters.get(name)
        if tensor is not None and type(tensor) not in (Tensor, nn.Parameter):
            return f"the {name} of {kind.__name__} is a {type(tensor).__name__}"
    if not set(layer._parameters) <= {"weight", "bias"}:
        return f"{kind.__name__} has parameters that its class does not have: {', '.join(layer._parameters)}"
    return None
