"""Sums over gradients: that of all samples' own, and of each sample's the sum of its absolute values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.gradients import ExplicitGradients, Gradients, LinearGradients, as_rows
from gradcon_ext.alignment.pass_size import samples_of_pass
from gradcon_ext.alignment.per_sample import MAX_BYTES, split_together, warn_of_unreached
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.sample_gradients import SampleGradients, sample_gradients


def gradient_sum(
    model: nn.Module, loss: SampleLoss, inputs: Tensor, names: Sequence[str], batch_size: int | None = None
) -> dict[str, Tensor]:
    """Return the sum of all samples' gradients, of the shape of each parameter, by name.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        names: of the parameters.
        batch_size: as for `per_sample_alignment`.

    Raises:
        ValueError: as for `per_sample_alignment`.
    """
    sums: dict[str, Tensor] = {}
    for gradients in _passes(model, loss, inputs, names, batch_size):
        ones = torch.ones_like(gradients.losses, dtype=torch.promote_types(gradients.losses.dtype, torch.float32))
        for name, part in gradients.weighted_sums(dict.fromkeys(names, ones)).items():
            sums[name] = sums[name] + part if name in sums else part
    return {name: sums.get(name, torch.zeros_like(model.get_parameter(name)).detach()) for name in names}


def absolute_sums(
    model: nn.Module, loss: SampleLoss, inputs: Tensor, names: Sequence[str], batch_size: int | None = None
) -> dict[str, Tensor]:
    """Return the L1 norm of every sample's gradients, (N,), by the names of the parameters.

    That of a linear layer with one position is the product of the L1 norms of what it is given and of its output's
    gradient, for its weight gradient is their outer product. Any other gradient is formed, one sample's at a time.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        names: of the parameters.
        batch_size: as for `per_sample_alignment`.

    Raises:
        ValueError: as for `per_sample_alignment`.
    """
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    for gradients in _passes(model, loss, inputs, names, batch_size):
        for name, route in gradients.routes.items():
            if route.gradients is not None:
                columns[name].append(_absolute_sum(route.gradients, len(gradients.losses)))
            elif not route.reached:
                columns[name].append(torch.zeros_like(gradients.losses))
        for chunk in gradients.chunks():
            for name, formed in chunk.items():
                columns[name].append(as_rows(formed).abs().sum(1))
    return {name: torch.cat(parts) for name, parts in columns.items()}


def _passes(
    model: nn.Module, loss: SampleLoss, inputs: Tensor, names: Sequence[str], batch_size: int | None
) -> Iterator[SampleGradients]:
    prepared = prepare(model, names)

    def loss_and_nothing(output: Any, target: Tensor) -> tuple[Tensor, None]:
        return loss(output, target), None

    size = samples_of_pass(prepared, loss_and_nothing, inputs, None) if batch_size is None else batch_size
    for number, (batch, _) in enumerate(split_together(inputs, None, size)):
        gradients = sample_gradients(prepared, loss_and_nothing, batch, None, MAX_BYTES)
        if number == 0:
            warn_of_unreached(gradients, stacklevel=4)
        yield gradients
        del gradients  # before the next pass: they hold the activations of this one


def _absolute_sum(gradients: Gradients, samples: int) -> Tensor:
    if isinstance(gradients, LinearGradients) and gradients.input.shape[1] == 1:
        input, grad_output = gradients.input[:, 0], gradients.grad_output[:, 0]
        return input.abs().sum(1) * grad_output.abs().sum(1)
    if isinstance(gradients, ExplicitGradients):
        return as_rows(gradients.gradients).abs().sum(1)
    return torch.stack([gradients.of_sample(sample).abs().sum() for sample in range(samples)])
