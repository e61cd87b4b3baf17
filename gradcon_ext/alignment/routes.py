"""Which way each parameter's gradients go: through a fused op, a small path of their own, or the fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.alignment.capture import Call, Capture
from gradcon_ext.alignment.gradients import ExplicitGradients, Gradients, LinearGradients, conv_gradients
from gradcon_ext.alignment.known_layers import BATCH_NORMS, CONVOLUTIONS, NORMS, obstacle_of, obstacle_of_torch


@dataclass(frozen=True)
class Parameter:
    """A constrained parameter, and every (module, attribute) that holds it; more than one where weights are tied."""

    name: str
    tensor: Tensor
    owners: list[tuple[nn.Module, str]]


@dataclass(frozen=True)
class Route:
    """How a parameter's gradients are got. `gradients` is None for the fallback."""

    reason: str
    gradients: Gradients | None = None
    reached: bool = True


def obstacles_of_layers(parameters: Sequence[Parameter]) -> dict[str, str]:
    """Why the layers of parameters do not compute what their class says, by the names of those for which it is so."""
    everywhere = obstacle_of_torch()
    found = {}
    for parameter in parameters:
        reasons = (everywhere, *(obstacle_of(module) for module, _ in parameter.owners))
        reason = next(filter(None, reasons), None)
        if reason is not None:
            found[parameter.name] = reason
    return found


def route_of(parameter: Parameter, capture: Capture, samples: int, obstacles: Mapping[str, str]) -> Route:
    """Choose the route of a parameter after the backward pass of `samples` samples.

    Args:
        parameter: constrained.
        capture: of the pass.
        samples: in the pass.
        obstacles: what is known already to keep parameters from a route of their own, by name.
    """
    modules = {module for module, _ in parameter.owners}
    calls = [(module, call) for module in modules for call in capture.calls.get(module, [])]
    obstacle = obstacles.get(parameter.name) or _obstacle(parameter, capture, [call for _, call in calls], samples)
    if obstacle is not None:
        return Route(f"fallback: {obstacle}")
    reached = [(module, call) for module, call in calls if call.grad_output is not None]
    if not reached:
        return Route("unreached: the loss does not depend on it", reached=False)
    module, attribute = parameter.owners[0]
    if attribute == "weight" and isinstance(module, nn.Linear):
        return Route("fused: linear_grad_alignment", _linear([call for _, call in reached]))
    if attribute == "weight" and isinstance(module, CONVOLUTIONS):
        ((_, call),) = reached
        assert call.grad_output is not None
        gradients = conv_gradients(module, parameter.tensor, call.input, call.grad_output)
        return Route("fused: conv_grad_alignment", gradients)
    form = _affine_gradient if isinstance(module, NORMS) and attribute == "weight" else _bias_gradient
    total = torch.stack([form(module, call) for module, call in reached]).sum(0)
    return Route(f"formed: {attribute} of {type(module).__name__}", ExplicitGradients(total))


def _obstacle(parameter: Parameter, capture: Capture, calls: list[Call], samples: int) -> str | None:
    """What keeps the parameter from a route of its own, if anything."""
    kinds = {type(module) for module, _ in parameter.owners}
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    if len(kinds) > 1 or len({attribute for _, attribute in parameter.owners}) > 1:
        return f"shared by {names}"
    if any(module in capture.irregular for module, _ in parameter.owners):
        return f"{names} was not called with one tensor and its own parameters"
    if capture.uses[parameter.name] != len(calls):
        return f"used {capture.uses[parameter.name]} times, but its module was called {len(calls)} times"
    if kinds & set(CONVOLUTIONS) and parameter.tensor.dim() > 1 and len(calls) > 1:
        return f"{names} was called {len(calls)} times"
    if any(call.input.dim() < 2 or len(call.input) != samples for call in calls):
        return f"{names} was called with an input whose first dimension is not the sample"
    if any(type(call.input) is not Tensor for call in calls):
        return f"{names} was called with a {type(calls[0].input).__name__}, which may compute in its own way"
    return None


def _linear(calls: list[Call]) -> LinearGradients:
    """All positions of all calls behind each other: the sum over them is the sum over the calls."""
    inputs = [_with_positions(call.input) for call in calls]
    grad_outputs = [_with_positions(call.grad_output) for call in calls if call.grad_output is not None]
    return LinearGradients(torch.cat(inputs, 1), torch.cat(grad_outputs, 1))


def _with_positions(batch: Tensor) -> Tensor:
    """(N, *, C) as (N, T, C)."""
    return batch.reshape(batch.shape[0], batch.shape[1:-1].numel(), batch.shape[-1])


def _bias_gradient(module: nn.Module, call: Call) -> Tensor:
    """The output's gradient, summed over positions."""
    assert call.grad_output is not None
    return _sum_over_positions(module, call.grad_output)


def _affine_gradient(module: nn.Module, call: Call) -> Tensor:
    """The output's gradient times the normalised input, summed over positions."""
    assert call.grad_output is not None
    return _sum_over_positions(module, call.grad_output * _normalised(module, call.input))


def _sum_over_positions(module: nn.Module, values: Tensor) -> Tensor:
    if isinstance(module, nn.LayerNorm):
        positions = values.shape[1 : -len(module.normalized_shape)].numel()
        return values.reshape(len(values), positions, *module.normalized_shape).sum(1)
    if isinstance(module, nn.Linear):
        return _with_positions(values).sum(1)
    return values.flatten(2).sum(2) if values.dim() > 2 else values


def _normalised(module: nn.Module, input: Tensor) -> Tensor:
    if isinstance(module, nn.LayerNorm):
        return functional.layer_norm(input, module.normalized_shape, eps=module.eps)
    if isinstance(module, nn.GroupNorm):
        return functional.group_norm(input, module.num_groups, eps=module.eps)
    assert isinstance(module, BATCH_NORMS)
    return functional.batch_norm(input, module.running_mean, module.running_var, eps=module.eps)
