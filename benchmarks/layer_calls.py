"""What goes through the constrained layers of the autoencoder in a forward and a backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.workload import Workload
from gradcon_ext.alignment.capture import captured
from gradcon_ext.ops import conv_grad_alignment


@dataclass(frozen=True)
class LayerCall:
    """A layer, its input, the gradient by its output, and the reference of its weight."""

    layer: nn.ConvTranspose2d
    input: Tensor
    grad_output: Tensor
    reference: Tensor


def layer_calls(workload: Workload) -> list[LayerCall]:
    """Run both passes, and return the call of every constrained layer; weights require no gradients afterwards."""
    modules = [workload.model.get_submodule(name.removesuffix(".weight")) for name in workload.references]
    workload.model.requires_grad_(False)
    with captured(modules, {}) as capture:
        error = (workload.model(workload.images) - workload.images).square().flatten(1).mean(1)
        torch.autograd.grad(error.sum(), capture.leaves)
    calls = [capture.calls[module][0] for module in modules]
    return [
        LayerCall(module, call.input, call.grad_output, reference)
        for module, call, reference in zip(modules, calls, workload.references.values(), strict=True)
    ]


def aligned(call: LayerCall) -> tuple[Tensor, Tensor]:
    """Dot products with the reference and squared norms, by the op alone."""
    layer = call.layer
    x, y, reference = call.input, call.grad_output, call.reference
    return conv_grad_alignment(x, y, reference, layer.stride, layer.padding, layer.dilation, layer.groups, True)
