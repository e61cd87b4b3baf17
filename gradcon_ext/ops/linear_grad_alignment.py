"""Alignment of the per-sample weight gradients of a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._checks import as_references, check_alike, check_shape, computed_in, of_one_type
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives


def linear_grad_alignment(input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Align every sample's weight gradient of a linear layer with a reference, without forming the gradients.

    The gradient of sample n is the sum of `grad_output[n, t]` times `input[n, t]` transposed over its positions t (all
    dimensions between the first and the last). With one position only it costs one multiply-add a weight, because
    then |g| = |grad_output| |input|. Not differentiable.

    Args:
        input: (N, *, I), what the layer was given; float16, bfloat16, float32 or float64.
        grad_output: (N, *, O), the gradient of each sample's loss with respect to what the layer returned.
        reference: (O, I), the shape of the weight, or (K, O, I) for several references.

    Returns:
        The dot product with `reference`, (N,) or (N, K), and the squared norm of each sample's gradient, (N,); both
        in float32, or float64 where the arguments are. The alignment (cosine) is dot / (sqrt(sq_norm) * |reference|).

    Raises:
        TypeError: a dtype that is not one of the above, or float64 mixed with others.
        ValueError: shapes that do not belong together, or different devices.
    """
    check_alike(input=input, grad_output=grad_output, reference=reference)
    if input.dim() < 2 or reference.dim() not in (2, 3):
        raise ValueError(
            "input must be (N, *, I) and reference (O, I) or (K, O, I), "
            f"got {tuple(input.shape)} and {tuple(reference.shape)}"
        )
    several = as_references(reference, dim=2)
    check_shape("grad_output", grad_output, (*input.shape[:-1], reference.shape[-2]))
    check_shape("reference", reference, (*reference.shape[:-2], grad_output.shape[-1], input.shape[-1]))
    x, y = of_one_type(input, grad_output)
    results = call("linear_grad_alignment", _with_one_position_axis(x), _with_one_position_axis(y), several)
    dot, sq_norm = not_differentiable("linear_grad_alignment", results, (input, grad_output, reference))
    return dot[:, 0] if reference.dim() == 2 else dot, sq_norm


def _with_one_position_axis(batch: Tensor) -> Tensor:
    """(N, *, C) as (N, T, C)."""
    return batch.reshape(batch.shape[0], batch.shape[1:-1].numel(), batch.shape[-1])


refuse_derivatives("linear_grad_alignment")


@torch.library.register_fake("gradcon_ext::linear_grad_alignment")
def _(input: Tensor, grad_output: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    samples, dtype = input.shape[0], computed_in(input.dtype)
    return input.new_empty(samples, references.shape[0], dtype=dtype), input.new_empty(samples, dtype=dtype)
