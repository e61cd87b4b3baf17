"""What each location of a layer's input adds to the alignment of a sample's gradient with its reference.

A convolution and a transposed one are bilinear in input x and weight, so the dot product of a sample's weight gradient
with a reference a is also the contraction of its grad_output with a, the input gradient as if a were the weight, times
x and summed (docs/mathematics.md). The terms before the sum over space are the locations' shares; they may be negative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.cosine import inverse_norm
from gradcon_ext.alignment.gradients import ConvGradients, padding_step
from gradcon_ext.alignment.in_float64 import aligned
from gradcon_ext.alignment.references import References


def location_shares(layer: nn.Module, gradients: ConvGradients, reference: Tensor) -> Tensor:
    """Return the shares (N, *space) of all locations of a layer's input; their sum is the cosine (N,).

    Where the gradient or the reference is zero, all shares are.

    Args:
        layer: the torch.nn convolution that the gradients are of.
        gradients: of N samples.
        reference: of the shape of the weight.
    """
    computed = torch.float64 if gradients.input.dtype == torch.float64 else torch.float32
    input = gradients.input.to(computed)
    references = References(reference.to(input)[None])
    _, sq_norms = aligned(gradients, references)
    # Both at length 1 before they meet: the product of two small numbers would vanish.
    scales = inverse_norm(sq_norms.sqrt()).view(-1, *[1] * (input.dim() - 1))
    grad_output = (gradients.grad_output.double() * scales).to(computed)
    direction = (references.values[0].double() * inverse_norm(references.norms)).to(computed)
    contracted, _, _ = torch.ops.aten.convolution_backward(
        grad_output,
        input,
        direction,
        None,
        gradients.stride,
        gradients.padding,
        gradients.dilation,
        gradients.transposed,
        gradients.output_padding,
        gradients.groups,
        (True, False, False),
    )
    return _before_padding(layer, (contracted * input).sum(1))


def _before_padding(layer: nn.Module, shares: Tensor) -> Tensor:
    """Add the shares of padded locations to those of the locations that they were copied from."""
    step = padding_step(layer)
    if step is None:
        return shares
    pads, mode = step
    added = [before + after for before, after in zip(pads[-2::-2], pads[::-2], strict=True)]
    size = [length - both for length, both in zip(shares.shape[1:], added, strict=True)]
    with torch.enable_grad():
        source = shares.new_zeros(len(shares), 1, *size, requires_grad=True)
        padded = nn.functional.pad(source, pads, mode=mode)
    (folded,) = torch.autograd.grad(padded, source, shares[:, None])
    return folded[:, 0]
