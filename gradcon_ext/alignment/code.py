"""The code of samples: what the first constrained layer of a model is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.private_copy import CopyError


def code_of(model: nn.Module, names: Sequence[str], inputs: Tensor) -> Tensor:
    """Run a copy of a model in eval mode, and return what the first of some layers was given, (N, D).

    Args:
        model: any module; it is neither run nor changed.
        names: of weights; their layers are the modules that hold them.
        inputs: of N samples.

    Raises:
        ValueError: the model cannot be copied, it has no such weight, or none of the layers is called with a tensor of
            N samples.
    """
    given: list[Any] = []
    try:
        module = prepare(model, names, in_eval_mode=True).frozen().module
    except CopyError as error:
        raise ValueError(f"the model's code cannot be told: {error}") from error
    for holder in {module.get_submodule(name.rpartition(".")[0]) for name in names}:
        holder.register_forward_pre_hook(lambda _, args: given.append(args[0] if args else None))
    with torch.no_grad():
        module(inputs)
    if not given or not isinstance(given[0], Tensor) or given[0].shape[:1] != inputs.shape[:1]:
        raise ValueError("the model's code cannot be told: no constrained layer is called with a tensor (N, ...)")
    return given[0].flatten(1)
