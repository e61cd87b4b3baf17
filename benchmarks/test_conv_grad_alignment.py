"""How long does the alignment of the paper's four decoder layers take, once the backward pass has run?"""

from __future__ import annotations

import pytest
import torch

from benchmarks.competitors import forward, transposed_convolution_gradients
from gradcon_ext.capture import captured
from gradcon_ext.ops import conv_grad_alignment

QUESTION = "alignment of the four decoder layers (layer inputs and output gradients given)"


@pytest.fixture
def layers(setup):
    """(layer, input, output gradient, reference) of every constrained layer."""
    modules = {name: setup.model.get_submodule(name.removesuffix(".weight")) for name in setup.references}
    with captured(modules) as capture:
        for parameter in setup.model.parameters():
            parameter.requires_grad_(False)
        error = (setup.model(setup.images) - setup.images).square().flatten(1).mean(1)
        torch.autograd.grad(error.sum(), capture.leaves)
    return [
        (modules[name], record.input, record.grad_output, setup.references[name])
        for name, record in capture.records.items()
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
