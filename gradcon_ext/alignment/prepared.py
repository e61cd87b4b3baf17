"""What is found out about a model once, before its first pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.fallback import ONE_PASS_AT_A_TIME
from gradcon_ext.alignment.routes import CAPTURED, Parameter, check_samples_are_independent


@dataclass(frozen=True)
class Prepared:
    """What all passes of a model have in common.

    Attributes:
        model: whose samples do not influence each other.
        parameters: those to differentiate by.
        frozen: all parameters and buffers of the model by name, none of which requires a gradient.
        modules: to capture.
    """

    model: nn.Module
    parameters: list[Parameter]
    frozen: dict[str, Tensor]
    modules: set[nn.Module]


def prepare(model: nn.Module, names: Sequence[str]) -> Prepared:
    """Find out once what every pass needs to know.

    Raises:
        ValueError: the model mixes samples or draws random numbers, or has no parameter of one of the names.
    """
    check_samples_are_independent(model)
    with ONE_PASS_AT_A_TIME, torch.inference_mode(False):
        tensors: dict[str, Tensor] = dict(model.named_parameters())
        for name in names:
            _check_there(model, tensors, name)
        tensors.update(model.named_buffers())
        owners: dict[int, list[tuple[nn.Module, str]]] = {}
        for module in model.modules():
            for attribute, held in module.named_parameters(recurse=False):
                owners.setdefault(id(held), []).append((module, attribute))
        frozen = {name: detached(tensor) for name, tensor in tensors.items()}
    parameters = [Parameter(name, frozen[name], owners[id(tensors[name])]) for name in names]
    modules = {module for parameter in parameters for module, _ in parameter.owners if type(module) in CAPTURED}
    return Prepared(model, parameters, frozen, modules)


def parameter_of(model: nn.Module, name: str) -> Tensor:
    """Return the parameter of that name, or raise ValueError with the names there are."""
    parameters = dict(model.named_parameters())
    _check_there(model, parameters, name)
    return parameters[name]


def _check_there(model: nn.Module, parameters: Mapping[str, Tensor], name: str) -> None:
    if name not in parameters:
        raise ValueError(f"{type(model).__name__} has no parameter {name!r}; it has {list(parameters)}")


def detached(tensor: Tensor) -> Tensor:
    """Return the tensor without a graph, in a form that a graph can be built on."""
    # An inference tensor cannot be saved for a backward pass, not even detached; its copy can.
    return tensor.clone().detach() if tensor.is_inference() else tensor.detach()
