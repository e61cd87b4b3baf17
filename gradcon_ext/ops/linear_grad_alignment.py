"""Alignment of the per-sample weight gradients of a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import compiled
from gradcon_ext.ops._checks import check_alike, check_shape


def linear_grad_alignment(input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Align every sample's weight gradient of a linear layer with a reference, without forming the gradients.

    The gradient of sample n is the sum of `grad_output[n, t]` times `input[n, t]` transposed over its positions t (all
    dimensions between the first and the last). With one position only it costs one multiply-add a weight, because
    then |g| = |grad_output| |input|. Not differentiable.

    Args:
        input: (N, *, I), what the layer was given; float32 or float64.
        grad_output: (N, *, O), the gradient of each sample's loss with respect to what the layer returned.
        reference: (O, I), the shape of the weight.

    Returns:
        The dot product with `reference` and the squared norm of each sample's gradient, both (N,). The alignment
        (cosine) is dot / (sqrt(sq_norm) * |reference|).

    Raises:
        TypeError: a dtype other than float32 or float64, or different ones.
        ValueError: shapes that do not belong together, or different devices.
    """
    check_alike(input=input, grad_output=grad_output, reference=reference)
    if input.dim() < 2 or reference.dim() != 2:
        raise ValueError(
            f"input must be (N, *, I) and reference (O, I), got {tuple(input.shape)} and {tuple(reference.shape)}"
        )
    check_shape("grad_output", grad_output, (*input.shape[:-1], reference.shape[0]))
    check_shape("reference", reference, (grad_output.shape[-1], input.shape[-1]))
    dot, sq_norm = compiled.linear_grad_alignment(
        _with_one_position_axis(input), _with_one_position_axis(grad_output), reference.detach()
    )
    return dot, sq_norm


def _with_one_position_axis(batch: Tensor) -> Tensor:
    """(N, *, C) as (N, T, C)."""
    positions = batch.shape[1:-1].numel()
    return batch.detach().reshape(batch.shape[0], positions, batch.shape[-1])


@torch.library.register_fake("gradcon_ext::linear_grad_alignment")
def _(input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    return input.new_empty(input.shape[0]), input.new_empty(input.shape[0])
