"""Per-sample gradients of any parameter of any model, by `torch.func.vmap(grad)`, a chunk of samples at a time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

ONE_PASS_AT_A_TIME = threading.RLock()
"""Held while a model runs with hooks or with other tensors for its parameters: threads share the module."""

SampleLoss = Callable[[object, Tensor], Tensor]
"""Takes the model's output and the inputs or targets; returns one value a sample, (N,)."""


def chunks_of_gradients(
    model: nn.Module,
    loss: SampleLoss,
    parameters: Mapping[str, Tensor],
    wanted: list[str],
    inputs: Tensor,
    targets: Tensor | None,
    max_bytes: int,
) -> Iterator[dict[str, Tensor]]:
    """Form the gradients (n, *weight) of the wanted parameters for consecutive chunks of samples.

    Args:
        model: samples must not influence each other in it.
        loss: of single samples.
        parameters: all parameters of the model by name.
        wanted: names of those to differentiate by.
        inputs: (N, ...).
        targets: (N, ...), or None where the loss takes the inputs.
        max_bytes: of gradients at a time; at least one sample's are formed.

    Warns:
        UserWarning: vmap cannot run the model, so each sample is differentiated by itself.
    """
    if len(inputs) == 0:  # vmap does not run every model on none
        yield {name: parameters[name].new_empty(0, *parameters[name].shape) for name in wanted}
        return
    fixed = {name: parameter for name, parameter in parameters.items() if name not in wanted}
    varied = {name: parameters[name] for name in wanted}

    def sample_loss(weights: dict[str, Tensor], input: Tensor, target: Tensor) -> Tensor:
        output = torch.func.functional_call(model, {**fixed, **weights}, (input[None],))
        return loss(output, target[None]).sum()

    gradient_of = torch.func.grad(sample_loss)
    gradients_of = torch.func.vmap(gradient_of, in_dims=(None, 0, 0))
    bytes_per_sample = sum(parameter.numel() * parameter.element_size() for parameter in varied.values())
    chunk = max(1, max_bytes // bytes_per_sample)
    for input, target in zip(
        torch.split(inputs, chunk), torch.split(inputs if targets is None else targets, chunk), strict=True
    ):
        with ONE_PASS_AT_A_TIME:
            try:
                gradients: dict[str, Tensor] = gradients_of(varied, input, target)
            except RuntimeError as error:
                warnings.warn(
                    f"torch.func.vmap cannot run this model ({error}); the gradients of {', '.join(wanted)} are "
                    "formed one sample at a time, which is slow",
                    stacklevel=2,
                )
                singles = [gradient_of(varied, x, y) for x, y in zip(input, target, strict=True)]
                gradients = {name: torch.stack([single[name] for single in singles]) for name in wanted}
        yield gradients
