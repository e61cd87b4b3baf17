"""The oracle: every op again in a few lines of plain PyTorch, one sample at a time.

Slow and obviously right. The compiled ops are tested against these functions in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from oracle.chain import objective_gradient as objective_gradient
from oracle.chain import score_autoencoder as score_autoencoder

_Forward = Callable[..., Tensor]
_CONVOLUTIONS: dict[int, _Forward] = {1: functional.conv1d, 2: functional.conv2d}
_TRANSPOSED_CONVOLUTIONS: dict[int, _Forward] = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}


def conv_grad_alignment(
    input: Tensor,
    grad_output: Tensor,
    reference: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
) -> tuple[Tensor, Tensor]:
    """Align the weight gradient of a convolution, one `autograd.grad` a sample.

    Args:
        input: (N, C_in, L) or (N, C_in, H, W).
        grad_output: (N, C_out, L') or (N, C_out, H', W').
        reference: the shape of the weight, or (K, *weight) for several references.
        stride: one number a spatial axis.
        padding: one number a spatial axis.
        dilation: one number a spatial axis.
        groups: as in `torch.nn.Conv2d`.
        transposed: whether the layer is a transposed convolution.

    Returns:
        The dot product with `reference`, (N,) or (N, K), and the squared norm of each sample's gradient, (N,).
    """
    forward = _convolution(input, grad_output, stride, padding, dilation, groups, transposed)
    return _align_per_sample(forward, input, grad_output, reference, input.dim())


def conv_grad_l1_norm(
    input: Tensor,
    grad_output: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
) -> Tensor:
    """Sum the absolute values of the weight gradient of a convolution, one `autograd.grad` a sample.

    Args:
        input: (N, C_in, L) or (N, C_in, H, W).
        grad_output: (N, C_out, L') or (N, C_out, H', W').
        kernel: one number a spatial axis.
        stride: one number a spatial axis.
        padding: one number a spatial axis.
        dilation: one number a spatial axis.
        groups: as in `torch.nn.Conv2d`.
        transposed: whether the layer is a transposed convolution.

    Returns:
        The norms, (N,).
    """
    first, second = (input, grad_output) if transposed else (grad_output, input)
    shape = (first.shape[1], second.shape[1] // groups, *kernel)
    forward = _convolution(input, grad_output, stride, padding, dilation, groups, transposed)
    norms = [gradient.abs().sum() for gradient in _gradients(forward, input, grad_output, shape)]
    return torch.stack(norms) if norms else input.new_zeros(0)


def linear_grad_alignment(input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Align the weight gradient of a linear layer, one `autograd.grad` a sample.

    Args:
        input: (N, *, I).
        grad_output: (N, *, O).
        reference: (O, I), or (K, O, I) for several references.

    Returns:
        The dot product with `reference`, (N,) or (N, K), and the squared norm of each sample's gradient, (N,).
    """
    return _align_per_sample(functional.linear, input, grad_output, reference, 2)


def running_mean_cosine_(mean: Tensor, grad: Tensor, count: int) -> Tensor:
    """Cosine of `grad` to the mean of the `count` gradients before it; then take `grad` into that mean (Eq. 2).

    Args:
        mean: the running mean, updated in place.
        grad: the next gradient, the same shape.
        count: how many gradients `mean` holds.

    Returns:
        The cosine, () of the dtype of `mean`; 0 where there is no mean yet or either norm is zero.
    """
    wide_mean, wide_grad = mean.double().flatten(), grad.double().flatten()
    norms = wide_mean.norm() * wide_grad.norm()
    cosine = (wide_mean @ wide_grad / norms).nan_to_num(nan=0.0) if count > 0 else norms.new_zeros(())
    mean += (grad - mean) / (count + 1)
    return torch.as_tensor(cosine).to(mean)


def _convolution(
    input: Tensor,
    grad_output: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
) -> _Forward:
    axes = input.dim() - 2

    def forward(sample: Tensor, weight: Tensor) -> Tensor:
        if not transposed:
            return _CONVOLUTIONS[axes](sample, weight, None, stride, padding, dilation, groups)
        transposed_convolution = _TRANSPOSED_CONVOLUTIONS[axes]
        output_padding = [
            output - ((size - 1) * s - 2 * p + d * (k - 1) + 1)
            for size, output, k, s, p, d in zip(
                input.shape[2:], grad_output.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
            )
        ]
        return transposed_convolution(sample, weight, None, stride, padding, output_padding, groups, dilation)

    return forward


def _align_per_sample(
    forward: _Forward, input: Tensor, grad_output: Tensor, reference: Tensor, weight_dim: int
) -> tuple[Tensor, Tensor]:
    several = reference[None] if reference.dim() == weight_dim else reference
    dot, sq_norm = input.new_zeros(len(input), len(several)), input.new_zeros(len(input))
    for n, gradient in enumerate(_gradients(forward, input, grad_output, several.shape[1:])):
        dot[n] = torch.stack([(gradient * one).sum() for one in several])
        sq_norm[n] = gradient.square().sum()
    return dot if reference.dim() > weight_dim else dot[:, 0], sq_norm


def _gradients(forward: _Forward, input: Tensor, grad_output: Tensor, shape: Sequence[int]) -> Iterator[Tensor]:
    """Those of each sample with respect to a weight of that shape."""
    for n in range(len(input)):
        with torch.enable_grad():
            weight = input.new_zeros(shape, requires_grad=True)
            output = forward(input[n : n + 1].detach(), weight)
            yield torch.autograd.grad(output, weight, grad_output[n : n + 1])[0]
