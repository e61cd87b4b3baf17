"""One pass over a batch, after which every sample's gradients can be aligned with references, or summed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradcon_ext.alignment.differentiable import differentiable
from gradcon_ext.alignment.fallback import chunks_of_gradients
from gradcon_ext.alignment.gradients import ExplicitGradients
from gradcon_ext.alignment.in_float64 import aligned
from gradcon_ext.alignment.plain import LossWithAux
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.private_copy import detached
from gradcon_ext.alignment.proof import proven_pass
from gradcon_ext.alignment.references import References
from gradcon_ext.alignment.routes import Route


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

    def align(self, references: Mapping[str, References]) -> dict[str, tuple[Tensor, Tensor]]:
        """Dot products (N, K) with K references, and squared norms (N,), in float64, by name."""
        samples = len(self.losses)
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name, route in self.routes.items():
            reference = references[name]
            if route.gradients is not None:
                parts[name] = [aligned(route.gradients, reference)]
            elif not route.reached:
                zeros = reference.values.new_zeros(samples, len(reference.values), dtype=torch.float64)
                parts[name] = [(zeros, zeros.new_zeros(samples))]
        for chunk in self.chunks():
            for name, gradients in chunk.items():
                parts.setdefault(name, []).append(aligned(ExplicitGradients(gradients), references[name]))
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
    with differentiable(prepared):
        inputs = detached(inputs)
        targets = inputs if targets is None else detached(targets)
        result, proof = proven_pass(prepared, loss, inputs, targets)
    left = [name for name, route in result.routes.items() if route.gradients is None and route.reached]

    def chunks() -> Iterator[dict[str, Tensor]]:
        if left:
            with differentiable(prepared):
                yield from chunks_of_gradients(
                    prepared.as_proven(proof), loss, left, inputs, targets, max_bytes, proof.one_by_one
                )

    return SampleGradients(result.losses, result.aux, result.routes, chunks)
