"""L1 norms of the per-sample weight gradients of a convolution or transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._checks import check_alike, computed_in, of_one_type
from gradcon_ext.ops._conv_checks import check_conv, per_axis
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives


def conv_grad_l1_norm(
    input: Tensor,
    grad_output: Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """Sum the absolute values of every sample's weight gradient of a convolution, without forming it. On the CPU only.

    A tile of each gradient lives in registers as in `conv_grad_alignment`, and memory does not grow with N times the
    number of weights. The gradient of a linear layer with several positions is that of a convolution with a kernel of
    one: `conv_grad_l1_norm(input.mT, grad_output.mT, 1)` for (N, T, I) and (N, T, O). Not differentiable.

    Args:
        input: (N, C_in, L) or (N, C_in, H, W), what the layer was given; float16, bfloat16, float32 or float64, of
            any strides.
        grad_output: (N, C_out, L') or (N, C_out, H', W'), the gradient of each sample's loss with respect to what the
            layer returned; of any strides.
        kernel: how wide the kernel is, for all axes or each.
        stride: as in `torch.nn.Conv2d`, for all axes or each.
        padding: zero padding, for all axes or each.
        dilation: spacing of the kernel's taps, for all axes or each.
        groups: number of channel groups.
        transposed: whether the layer is a transposed convolution.

    Returns:
        The norms (N,), in float32, or float64 where the arguments are.

    Raises:
        TypeError: a dtype that is not one of the above, or float64 mixed with others.
        ValueError: shapes or settings that do not belong together, or different devices.
    """
    check_alike(input=input, grad_output=grad_output)
    axes = input.dim() - 2
    if axes not in (1, 2) or grad_output.dim() != input.dim():
        raise ValueError(
            "input and grad_output must both be 3-dimensional (1-D convolution) or 4-dimensional (2-D), "
            f"got shapes {tuple(input.shape)} and {tuple(grad_output.shape)}"
        )
    taps = per_axis("kernel", kernel, axes, least=1)
    conv = check_conv(input, grad_output, tuple(taps), stride, padding, dilation, groups, transposed)
    x, y = of_one_type(input, grad_output)
    norms: Tensor = call("conv_grad_l1_norm", x, y, taps, *conv.settings)
    return not_differentiable("conv_grad_l1_norm", (norms,), (input, grad_output))[0]


refuse_derivatives("conv_grad_l1_norm")


@torch.library.register_fake("gradcon_ext::conv_grad_l1_norm")
def _(
    input: Tensor,
    grad_output: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    transposed: bool,
) -> Tensor:
    return input.new_empty(input.shape[0], dtype=computed_in(input.dtype))
