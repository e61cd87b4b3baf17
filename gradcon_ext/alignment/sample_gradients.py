"""One pass over a batch, after which every sample's gradients can be aligned with references, or summed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradcon_ext.alignment.capture import captured
from gradcon_ext.alignment.fallback import ONE_PASS_AT_A_TIME, chunks_of_gradients
from gradcon_ext.alignment.gradients import ExplicitGradients
from gradcon_ext.alignment.prepared import Prepared, detached
from gradcon_ext.alignment.routes import Route, route_of
from gradcon_ext.freed_memory import keep_freed_memory

LossWithAux = Callable[[Any, Tensor], tuple[Tensor, Any]]
"""Takes the model's output and the inputs or targets; returns one value a sample, (N,), and anything else."""


@dataclass(frozen=True)
class SampleGradients:
    """Gradients of N samples with respect to some parameters, in the forms that the pass left.

    Attributes:
        losses: of the samples, (N,).
        aux: what else the loss returned.
        routes: of every parameter, by name.
        chunks: forms the gradients of the parameters on the fallback, a chunk of samples at a time.
    """

    losses: Tensor
    aux: Any
    routes: dict[str, Route]
    chunks: Callable[[], Iterator[dict[str, Tensor]]]

    def align(self, references: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Dot products (N, K) with references (K, *weight), and squared norms (N,), by name."""
        samples = len(self.losses)
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name, route in self.routes.items():
            reference = references[name]
            if route.gradients is not None:
                parts[name] = [route.gradients.align(reference)]
            elif not route.reached:
                parts[name] = [(reference.new_zeros(samples, len(reference)), reference.new_zeros(samples))]
        for chunk in self.chunks():
            for name, gradients in chunk.items():
                parts.setdefault(name, []).append(ExplicitGradients(gradients).align(references[name]))
        columns = {name: zip(*pairs, strict=True) for name, pairs in parts.items()}
        return {name: (torch.cat(dots), torch.cat(sq_norms)) for name, (dots, sq_norms) in columns.items()}

    def weighted_sums(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sum over samples of weight (N,) times gradient, of the shape of each parameter, by name.

        A parameter that the loss does not reach has none.
        """
        sums = {
            name: route.gradients.weighted_sum(weights[name])
            for name, route in self.routes.items()
            if route.gradients is not None
        }
        first = 0
        for chunk in self.chunks():
            for name, gradients in chunk.items():
                share = weights[name][first : first + len(gradients)]
                part = ExplicitGradients(gradients).weighted_sum(share)
                sums[name] = sums[name] + part if name in sums else part
            first += len(next(iter(chunk.values())))
        return sums


def sample_gradients(
    prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor | None, max_bytes: int
) -> SampleGradients:
    """Run a model forward, and backward as far as the first of the parameters; see `per_sample_alignment`."""
    model, frozen = prepared.model, prepared.frozen
    keep_freed_memory(inputs.device)
    # Gradients are needed here whatever mode the caller is in.
    with ONE_PASS_AT_A_TIME, torch.inference_mode(False), torch.enable_grad():
        inputs, targets = detached(inputs), None if targets is None else detached(targets)
        with captured(prepared.modules, frozen) as capture:
            output = torch.func.functional_call(model, frozen, (inputs,))
            losses, aux = loss(output, inputs if targets is None else targets)
        if losses.shape != inputs.shape[:1]:
            raise ValueError(f"the loss must return one value a sample, ({len(inputs)},), got {tuple(losses.shape)}")
        if losses.requires_grad and capture.leaves:
            # The gradient of the sum holds every sample's own, because samples do not mix.
            torch.autograd.grad(losses.sum(), capture.leaves, allow_unused=True)
    routes = {parameter.name: route_of(parameter, capture, len(inputs)) for parameter in prepared.parameters}
    left = [name for name, route in routes.items() if route.gradients is None and route.reached]

    def chunks() -> Iterator[dict[str, Tensor]]:
        def sample_loss(output: Any, target: Tensor) -> Tensor:
            return loss(output, target)[0]

        if left:
            with torch.inference_mode(False):
                yield from chunks_of_gradients(model, sample_loss, frozen, left, inputs, targets, max_bytes)

    return SampleGradients(losses.detach(), aux, routes, chunks)
