"""Alignment of the per-sample weight gradients of a convolution or transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._checks import as_references, check_alike, check_shape, computed_in, of_one_type
from gradcon_ext.ops._conv_checks import check_conv
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives


def conv_grad_alignment(
    input: Tensor,
    grad_output: Tensor,
    reference: Tensor,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    transposed: bool = False,
) -> tuple[Tensor, Tensor]:
    """Align every sample's weight gradient of a convolution with a reference, without forming the gradients.

    A tile of each gradient lives in registers, gives its product with the reference and its square, and is forgotten;
    memory does not grow with N times the number of weights. Any strides of `input` and `grad_output` are read as they
    are. `output_padding` of a transposed convolution is seen from the shapes. Not differentiable.

    Args:
        input: (N, C_in, L) or (N, C_in, H, W), what the layer was given; float16, bfloat16, float32 or
            float64.
        grad_output: (N, C_out, L') or (N, C_out, H', W'), the gradient of each sample's loss with respect to what the
            layer returned.
        reference: the shape of the weight, (C_out, C_in / groups, *kernel), or (C_in, C_out / groups, *kernel) when
            transposed; or (K, *weight) for several references, whose dot products are taken from one formation of
            each gradient tile.
        stride: as in `torch.nn.Conv2d`, for all axes or each.
        padding: zero padding, for all axes or each.
        dilation: spacing of the kernel's taps, for all axes or each.
        groups: number of channel groups.
        transposed: whether the layer is a transposed convolution.

    Returns:
        The dot product with `reference`, (N,) or (N, K), and the squared norm of each sample's gradient, (N,); both
        in float32, or float64 where the arguments are. The alignment (cosine) is dot / (sqrt(sq_norm) * |reference|).

    Raises:
        TypeError: a dtype that is not one of the above, or float64 mixed with others.
        ValueError: shapes or settings that do not belong together, or different devices.
    """
    check_alike(input=input, grad_output=grad_output, reference=reference)
    axes = input.dim() - 2
    if axes not in (1, 2) or grad_output.dim() != input.dim() or reference.dim() not in (input.dim(), input.dim() + 1):
        raise ValueError(
            "input, grad_output and reference must all be 3-dimensional (1-D convolution) or 4-dimensional (2-D), and "
            "several references one more, "
            f"got shapes {tuple(input.shape)}, {tuple(grad_output.shape)} and {tuple(reference.shape)}"
        )
    kernel = tuple(reference.shape[-axes:])
    if 0 in kernel:
        raise ValueError(f"the kernel of the reference must be at least 1 wide, got {kernel}")
    weight, conv = check_conv(input, grad_output, kernel, stride, padding, dilation, groups, transposed)
    check_shape("reference", reference, (*reference.shape[: reference.dim() - input.dim()], *weight))
    x, y = of_one_type(input, grad_output)
    several = as_references(reference, dim=input.dim())
    results = call("conv_grad_alignment", x, y, several, *conv)
    dot, sq_norm = not_differentiable("conv_grad_alignment", results, (input, grad_output, reference))
    return dot[:, 0] if reference.dim() == input.dim() else dot, sq_norm


refuse_derivatives("conv_grad_alignment")


@torch.library.register_fake("gradcon_ext::conv_grad_alignment")
def _(
    input: Tensor,
    grad_output: Tensor,
    references: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    transposed: bool,
) -> tuple[Tensor, Tensor]:
    samples, dtype = input.shape[0], computed_in(input.dtype)
    return input.new_empty(samples, references.shape[0], dtype=dtype), input.new_empty(samples, dtype=dtype)
