"""How long does the alignment of the paper's four decoder layers take, once the backward pass has run?"""

from __future__ import annotations

import pytest
import torch

from benchmarks.competitors import forward, transposed_convolution_gradients
from benchmarks.layer_calls import LayerCall, aligned, layer_calls
from benchmarks.workload import meetings

QUESTION = "alignment of the four decoder layers (layer inputs and output gradients given)"


@pytest.fixture
def calls(setup) -> list[LayerCall]:
    return layer_calls(setup)


def fused(calls: list[LayerCall]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [aligned(call) for call in calls]


def unfold_bmm(calls: list[LayerCall]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    results = []
    for call in calls:
        for x, y in zip(call.input.split(32), call.grad_output.split(32), strict=True):
            gradients = transposed_convolution_gradients(call.layer, x, y).flatten(1)
            results.append((gradients @ call.reference.flatten(), gradients.square().sum(1)))
    return results


@pytest.mark.parametrize("contender", [fused, unfold_bmm])
def test_decoder_alignment(compare, setup, calls, contender) -> None:
    name = {fused: "gradcon_ext, fused", unfold_bmm: "unfold + bmm, 32 samples at a time"}[contender]
    ratio = compare(
        lambda: contender(calls),
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


def test_share_of_peak(compare, calls) -> None:
    """The machine's peak is taken to be its rate in a large float32 matrix product, in the same run."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    ratio = compare(
        lambda: fused(calls),
        lambda: left @ right,
        question=QUESTION,
        name="gradcon_ext, fused",
        baseline_name="a 2048 x 2048 x 2048 matrix product",
        samples=512,
    )
    share = sum(multiply_adds(call.layer, call.input, call.grad_output) for call in calls) / size**3 / ratio
    print(f"\nshare of the matrix product's multiply-adds a second: {share:.2f}")
    assert share >= 0.5
