"""The cosine of a gradient to the running mean before it, fused with the mean's update."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._checks import check_alike, check_shape, computed_in
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives, refuse_overwriting


def running_mean_cosine_(mean: Tensor, grad: Tensor, count: int) -> Tensor:
    """Cosine of `grad` to the mean of the `count` gradients before it; then take `grad` into that mean (Eq. 2).

    One pass over memory: both tensors are read once and `mean` is written once. The sums are kept in float64. The
    result is not differentiable.

    Args:
        mean: the running mean, any shape, contiguous, float32 or float64; updated in place to
            `mean + (grad - mean) / (count + 1)`.
        grad: the next gradient, of the same shape and device; float16 and bfloat16 are taken into a float32 mean.
        count: how many gradients `mean` holds.

    Returns:
        The cosine, shape (), of the dtype of `mean`; 0 where `count` is 0 or either norm is zero.

    Raises:
        TypeError: a mean in half precision, or two dtypes other than the above.
        ValueError: different shapes or devices, a mean that is not contiguous, or a negative count.
        RuntimeError: a derivative by `mean`, which is overwritten, is asked for.
    """
    check_alike(mean=mean, grad=grad)
    if computed_in(mean.dtype) != mean.dtype:
        raise TypeError(f"mean must be float32 or float64, got {mean.dtype}: half precision cannot hold a running mean")
    check_shape("grad", grad, tuple(mean.shape))
    if not mean.is_contiguous():
        raise ValueError(f"mean must be contiguous to be updated in place, got strides {mean.stride()}")
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    refuse_overwriting("running_mean_cosine_", (mean,))
    cosine: Tensor = call("running_mean_cosine_", mean.detach(), grad.detach().to(mean.dtype), count)
    return not_differentiable("running_mean_cosine_", (cosine,), (grad,))[0]


refuse_derivatives("running_mean_cosine_")


@torch.library.register_fake("gradcon_ext::running_mean_cosine_")
def _(mean: Tensor, grad: Tensor, count: int) -> Tensor:
    return mean.new_empty(())
