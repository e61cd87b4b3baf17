"""Per-sample gradients of any parameter of any model, by `torch.func.vmap(grad)`, a chunk of samples at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gradcon_ext.alignment.plain import LossWithAux, plain_gradient
from gradcon_ext.alignment.prepared import Prepared

SampleLoss = Callable[[object, Tensor], Tensor]
"""Takes the model's output and the inputs or targets; returns one value a sample, (N,)."""


def chunks_of_gradients(
    prepared: Prepared,
    loss: LossWithAux,
    wanted: list[str],
    inputs: Tensor,
    targets: Tensor,
    max_bytes: int,
    one_by_one: str | None,
) -> Iterator[dict[str, Tensor]]:
    """Form the gradients (n, *weight) of the wanted parameters for consecutive chunks of samples.

    Args:
        prepared: samples must not influence each other in the model.
        loss: of single samples.
        wanted: names of the parameters to differentiate by.
        inputs: (N, ...).
        targets: (N, ...).
        max_bytes: of gradients at a time; at least one sample's are formed.
        one_by_one: why vmap cannot run the model, where that is known.

    Warns:
        UserWarning: vmap cannot run the model, so each sample is differentiated by itself.
    """
    weights = [prepared.weights[name] for name in wanted]
    if len(inputs) == 0:  # vmap does not run every model on none
        yield {name: weight.new_empty(0, *weight.shape) for name, weight in zip(wanted, weights, strict=True)}
        return
    bytes_per_sample = sum(weight.numel() * weight.element_size() for weight in weights)
    chunk = max(1, max_bytes // max(1, bytes_per_sample))
    told = False
    for input, target in zip(torch.split(inputs, chunk), torch.split(targets, chunk), strict=True):
        if one_by_one is None:
            try:
                yield gradients_by_vmap(prepared, loss, wanted, input, target)
                continue
            except RuntimeError as error:
                one_by_one = str(error)
        if not told:
            _tell(one_by_one, wanted)
            told = True
        yield _gradients_one_by_one(prepared, loss, wanted, input, target)


def gradients_by_vmap(
    prepared: Prepared, loss: LossWithAux, wanted: list[str], inputs: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    """Form the gradients (n, *weight) of all samples at once."""
    copied = prepared.frozen()
    varied = {name: copied.parameters[name] for name in wanted}
    fixed = {name: tensor for name, tensor in copied.state.items() if name not in varied}

    def sample_loss(weights: dict[str, Tensor], input: Tensor, target: Tensor) -> Tensor:
        output = torch.func.functional_call(copied.module, {**fixed, **weights}, (input[None],))
        return loss(output, target[None])[0].sum()

    gradients: dict[str, Tensor] = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))(
        varied, inputs, targets
    )
    # A tensor that the model made of its parameters before may bring a graph along.
    return {name: gradient.detach() for name, gradient in gradients.items()}


def _gradients_one_by_one(
    prepared: Prepared, loss: LossWithAux, wanted: list[str], inputs: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    # A copy for each, so that nothing a model remembers of one sample reaches the next.
    singles = [
        plain_gradient(prepared.trainable(), loss, wanted, input[None], target[None]).gradients
        for input, target in zip(inputs, targets, strict=True)
    ]
    return {name: torch.stack([single[name] for single in singles]) for name in wanted}


def _tell(reason: str, wanted: list[str]) -> None:
    warnings.warn(
        f"torch.func.vmap cannot run this model ({reason}); the gradients of {', '.join(wanted)} are formed one "
        "sample at a time, which is slow",
        stacklevel=3,
    )
