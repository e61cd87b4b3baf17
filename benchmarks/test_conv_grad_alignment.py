"""How long does the alignment of the paper's four decoder layers take, once the backward pass has run?"""

from __future__ import annotations

import pytest
import torch

from benchmarks.competitors import forward, transposed_convolution_gradients
from benchmarks.workload import meetings
from gradcon_ext.alignment.capture import captured
from gradcon_ext.ops import conv_grad_alignment

QUESTION = "alignment of the four decoder layers (layer inputs and output gradients given)"


@pytest.fixture
def layers(setup):
    """(layer, input, output gradient, reference) of every constrained layer."""
    modules = [setup.model.get_submodule(name.removesuffix(".weight")) for name in setup.references]
    setup.model.requires_grad_(False)
    with captured(modules, {}) as capture:
        error = (setup.model(setup.images) - setup.images).square().flatten(1).mean(1)
        torch.autograd.grad(error.sum(), capture.leaves)
    calls = [capture.calls[module][0] for module in modules]
    return [
        (module, call.input, call.grad_output, reference)
        for module, call, reference in zip(modules, calls, setup.references.values(), strict=True)
    ]


def fused(layers) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        conv_grad_alignment(x, y, a, layer.stride, layer.padding, layer.dilation, layer.groups, True)
        for layer, x, y, a in layers
    ]


def unfold_bmm(layers) -> list[tuple[torch.Tensor, torch.Tensor]]:
    results = []
    for layer, inputs, grad_outputs, reference in layers:
        for x, y in zip(inputs.split(32), grad_outputs.split(32), strict=True):
            gradients = transposed_convolution_gradients(layer, x, y).flatten(1)
            results.append((gradients @ reference.flatten(), gradients.square().sum(1)))
    return results


@pytest.mark.parametrize("contender", [fused, unfold_bmm])
def test_decoder_alignment(compare, setup, layers, contender) -> None:
    name = {fused: "gradcon_ext, fused", unfold_bmm: "unfold + bmm, 32 samples at a time"}[contender]
    ratio = compare(
        lambda: contender(layers),
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=name,
        baseline_name="torch's forward pass of the whole model",
        samples=512,
    )
    if contender is fused:
        assert ratio <= 0.4


def multiply_adds(layer, x: torch.Tensor, y: torch.Tensor) -> int:
    """Count those that an alignment needs: every tap at the pixels that it meets, and the two products a weight."""
    return len(x) * (x.shape[1] * y.shape[1] * meetings(layer, x, y) + 2 * layer.weight.numel())


def test_share_of_peak(compare, layers) -> None:
    """The machine's peak is taken to be its rate in a large float32 matrix product, in the same run."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    ratio = compare(
        lambda: fused(layers),
        lambda: left @ right,
        question=QUESTION,
        name="gradcon_ext, fused",
        baseline_name="a 2048 x 2048 x 2048 matrix product",
        samples=512,
    )
    share = sum(multiply_adds(layer, x, y) for layer, x, y, _ in layers) / size**3 / ratio
    print(f"\nshare of the matrix product's multiply-adds a second: {share:.2f}")
    assert share >= 0.5
