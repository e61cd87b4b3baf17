"""One forward pass over a batch, and one backward pass as far as the first of the constrained layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.capture import Capture, captured
from gradcon_ext.alignment.known_layers import KNOWN
from gradcon_ext.alignment.plain import LossWithAux, check_losses
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.private_copy import PrivateCopy
from gradcon_ext.alignment.proofs import Proof
from gradcon_ext.alignment.routes import Parameter, Route, obstacles_of_layers, route_of


@dataclass(frozen=True)
class Pass:
    """What a pass left: losses (N,), what else the loss returned, routes by name, and the capture they are made of."""

    losses: Tensor
    aux: Any
    routes: dict[str, Route]
    parameters: list[Parameter]
    capture: Capture


def run_pass(prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor, proof: Proof) -> Pass:
    """Run a private copy of the model, and choose the route of every parameter.

    Raises:
        ValueError: the loss does not return one value a sample.
    """
    prepared = prepared.as_proven(proof)
    if proof.as_it_is is not None:
        losses, aux = loss(prepared.trainable().module(inputs), targets)
        check_losses(losses, inputs)
        return Pass(losses.detach(), aux, dict.fromkeys(prepared.weights, _as_it_is(proof)), [], Capture())
    copied = prepared.frozen()
    parameters = _parameters_of(copied, prepared)
    obstacles = {**obstacles_of_layers(parameters), **proof.obstacles}
    if proof.changes is not None:
        obstacles |= dict.fromkeys(prepared.weights, f"the forward changes {proof.changes} in place")
    usable = [parameter for parameter in parameters if parameter.name not in obstacles]
    modules = {module for parameter in usable for module, _ in parameter.owners if type(module) in KNOWN}
    with captured(modules, copied.parameters) as capture:
        losses, aux = loss(copied.module(inputs), targets)
    check_losses(losses, inputs)
    if losses.requires_grad and capture.leaves:
        # The gradient of the sum holds every sample's own, because samples do not mix.
        torch.autograd.grad(losses.sum(), capture.leaves, allow_unused=True)
    routes = {parameter.name: route_of(parameter, capture, len(inputs), obstacles) for parameter in parameters}
    return Pass(losses.detach(), aux, routes, parameters, capture)


def _as_it_is(proof: Proof) -> Route:
    return Route(f"fallback: one sample at a time, because {proof.as_it_is}")


def _parameters_of(copied: PrivateCopy, prepared: Prepared) -> list[Parameter]:
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in copied.module.modules():
        for attribute, held in module._parameters.items():
            if held is not None:
                owners.setdefault(id(held), []).append((module, attribute))
    tensors = copied.parameters
    return [Parameter(name, tensors[name], owners[id(tensors[name])]) for name in prepared.weights]
