"""Per-sample gradients of one parameter, in the forms in which a pass leaves them; only small ones are ever formed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from gradcon_ext.ops import conv_grad_alignment, conv_grad_l1_norm, linear_grad_alignment


class Gradients(Protocol):
    """The gradients g_n of N samples with respect to one parameter of shape (*weight)."""

    def align(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Dot products with references (K, *weight), shape (N, K), and squared norms (N,)."""

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Sum over n of `weights[n]` times g_n, shape (*weight), for weights (N,)."""

    def of_sample(self, sample: int) -> Tensor:
        """The gradient g_n of one sample, shape (*weight)."""

    def l1_norms(self) -> Tensor:
        """Sum of the absolute values of each, (N,)."""

    def in_float64(self, samples: Tensor) -> Gradients:
        """Those of some samples, by their numbers (S,), computed in float64."""


@dataclass(frozen=True)
class ExplicitGradients:
    """Gradients that were formed, (N, *weight): of biases, of normalisation layers, of the fallback."""

    gradients: Tensor

    def align(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Align by a matrix product."""
        flat = as_rows(_computed(self.gradients))
        with _as_they_are(flat):
            return flat @ as_rows(references).T, flat.square().sum(1)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Sum by a matrix product."""
        flat = as_rows(_computed(self.gradients))
        with _as_they_are(flat):
            return (weights @ flat).view(self.gradients.shape[1:])

    def of_sample(self, sample: int) -> Tensor:
        """One of those that were formed."""
        return _computed(self.gradients[sample])

    def l1_norms(self) -> Tensor:
        """Of those that were formed."""
        return as_rows(_computed(self.gradients)).abs().sum(1)

    def in_float64(self, samples: Tensor) -> ExplicitGradients:
        """The same numbers."""
        return ExplicitGradients(self.gradients[samples].double())


@dataclass(frozen=True)
class LinearGradients:
    """Those of a linear layer: input (N, T, I) and grad_output (N, T, O) over all positions of all its calls."""

    input: Tensor
    grad_output: Tensor

    def align(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Align by the fused op."""
        return linear_grad_alignment(self.input, self.grad_output, references)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """One matrix product over samples and positions, the output gradients scaled."""
        scaled = _computed(self.grad_output) * weights[:, None, None]
        with _as_they_are(scaled):
            return scaled.flatten(0, 1).T @ _computed(self.input).flatten(0, 1)

    def of_sample(self, sample: int) -> Tensor:
        """The sum of one."""
        part = slice(sample, sample + 1)
        alone = replace(self, input=self.input[part], grad_output=self.grad_output[part])
        return alone.weighted_sum(_computed(self.grad_output).new_ones(1))

    def l1_norms(self) -> Tensor:
        """Of one position the product of two norms, for the gradient is an outer product; else by the fused op."""
        if self.input.shape[1] == 1:
            return _computed(self.input).abs().sum((1, 2)) * _computed(self.grad_output).abs().sum((1, 2))
        if self.input.device.type != "cpu":
            return norms_one_by_one(self)
        return conv_grad_l1_norm(self.input.mT, self.grad_output.mT, 1)

    def in_float64(self, samples: Tensor) -> LinearGradients:
        """Of inputs and output gradients as they are."""
        return LinearGradients(self.input[samples].double(), self.grad_output[samples].double())


@dataclass(frozen=True)
class ConvGradients:
    """Those of a convolution or transposed convolution that ran once."""

    input: Tensor
    grad_output: Tensor
    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool
    output_padding: tuple[int, ...]

    def align(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Align by the fused op."""
        return conv_grad_alignment(
            self.input,
            self.grad_output,
            references,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.transposed,
        )

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """An ordinary batched weight gradient, the output gradients scaled."""
        grad_output = _computed(self.grad_output)
        scaled = grad_output * weights.view(-1, *[1] * (grad_output.dim() - 1))
        _, total, _ = torch.ops.aten.convolution_backward(
            scaled,
            _computed(self.input),
            _computed(self.weight),
            None,
            self.stride,
            self.padding,
            self.dilation,
            self.transposed,
            self.output_padding,
            self.groups,
            (False, True, False),
        )
        return torch.as_tensor(total)

    def of_sample(self, sample: int) -> Tensor:
        """The sum of one."""
        part = slice(sample, sample + 1)
        alone = replace(self, input=self.input[part], grad_output=self.grad_output[part])
        return alone.weighted_sum(_computed(self.grad_output).new_ones(1))

    def l1_norms(self) -> Tensor:
        """By the fused op, which is one of the CPU; elsewhere each gradient is formed."""
        if self.input.device.type != "cpu":
            return norms_one_by_one(self)
        return conv_grad_l1_norm(
            self.input,
            self.grad_output,
            self.weight.shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.transposed,
        )

    def in_float64(self, samples: Tensor) -> ConvGradients:
        """Of inputs and output gradients as they are."""
        return replace(self, input=self.input[samples].double(), grad_output=self.grad_output[samples].double())


def conv_gradients(layer: nn.Module, weight: Tensor, input: Tensor, grad_output: Tensor) -> ConvGradients:
    """Gradients of a torch.nn convolution of one or two axes, from what it was given and its output's gradient."""
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d)
    padding = (0,) * len(layer.kernel_size)
    step = padding_step(layer)
    if step is None:
        assert not isinstance(layer.padding, str)
        padding = layer.padding
    else:
        pads, mode = step
        input = nn.functional.pad(input, pads, mode=mode)
    return ConvGradients(
        input,
        grad_output,
        weight,
        layer.stride,
        padding,
        layer.dilation,
        layer.groups,
        layer.transposed,
        tuple(layer.output_padding),
    )


def padding_step(layer: nn.Module) -> tuple[list[int], str] | None:
    """Return pads and mode, as `torch.nn.functional.pad` takes them, of a convolution that pads in a step of its own.

    It convolves the padded input; any other pads while it convolves.
    """
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d)
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return None
    return _explicit_padding(layer), "constant" if layer.padding_mode == "zeros" else layer.padding_mode


def _explicit_padding(layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d) -> list[int]:
    """Padding before and after, the last axis first, as `torch.nn.functional.pad` takes it."""
    pads: list[int] = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            pads += [total // 2, total - total // 2]
        else:
            pads += [0, 0] if layer.padding == "valid" else [int(layer.padding[axis])] * 2
    return pads


def norms_one_by_one(gradients: LinearGradients | ConvGradients) -> Tensor:
    """L1 norms (N,) of gradients that are formed and forgotten one at a time, where there is no fused op."""
    norms = _computed(gradients.input).new_zeros(len(gradients.input))
    for sample in range(len(norms)):
        norms[sample] = gradients.of_sample(sample).abs().sum()
    return norms


def as_rows(tensors: Tensor) -> Tensor:
    """(N, *) as (N, numbers), also where each is a single number without axes."""
    return tensors.flatten(1) if tensors.dim() > 1 else tensors[:, None]


def _computed(tensor: Tensor) -> Tensor:
    """In float64 as it is, anything else in float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _as_they_are(tensor: Tensor) -> torch.autocast:
    """Keep autocast from narrowing the sums."""
    return torch.autocast(tensor.device.type, enabled=False)
