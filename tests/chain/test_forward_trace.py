from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.chain.chain import LayerKind, NotAChain
from gradcon_ext.chain.forward_trace import ForwardTrace
from gradcon_ext.chain.layer_calls import StateNames


class Forward(nn.Module):
    def __init__(self, forward: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._forward = forward

    def forward(self, images: Tensor) -> Any:
        return self._forward(images)


def kinds_of(forward: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float32) -> list[LayerKind]:
    """Kinds of the layers on the way to what the forward returns for images (2, 3, 4)."""
    trace = ForwardTrace(torch.empty(1009, 2, 3, 4, device="meta", dtype=dtype), StateNames({}))
    output = trace.run(Forward(forward))
    return [step.call.kind for step in trace.steps_to(output, "the output")]


def test_calls_are_noted_in_order() -> None:
    assert kinds_of(lambda x: torch.tanh(functional.relu(x).sigmoid())) == [
        LayerKind.RELU,
        LayerKind.SIGMOID,
        LayerKind.TANH,
    ]
    assert kinds_of(lambda x: x) == []


def test_only_what_leads_to_the_output_counts() -> None:
    def forward(images: Tensor) -> Tensor:
        hidden = images.relu()
        hidden.sigmoid()
        return hidden.tanh()

    assert kinds_of(forward) == [LayerKind.RELU, LayerKind.TANH]


def test_a_reshape_to_the_same_shape_is_none() -> None:
    assert kinds_of(lambda x: x.view(-1, 2, 3, 4)) == []
    assert kinds_of(lambda x: x.flatten(1)) == [LayerKind.RESHAPE]
    assert kinds_of(lambda x: x.flatten(1).unsqueeze(2).relu()) == [LayerKind.RESHAPE, LayerKind.RELU]


def test_the_forward_sees_shapes_and_types() -> None:
    def forward(images: Tensor) -> Tensor:
        samples, channels = images.size(0), images.shape[1]
        assert (channels, images.dim(), images.ndim, len(images)) == (2, 4, 4, samples)
        assert images.dtype == torch.float64
        assert isinstance(images, Tensor)
        assert images.numel() == samples * 24
        return images.reshape(samples, -1)

    assert kinds_of(forward, torch.float64) == [LayerKind.RESHAPE]


def test_in_place_is_noted_on_the_tensor_itself() -> None:
    def forward(images: Tensor) -> Tensor:
        hidden = images.sigmoid()
        functional.elu(hidden, inplace=True)
        return functional.relu(hidden, inplace=True)

    assert kinds_of(forward) == [LayerKind.SIGMOID, LayerKind.ELU, LayerKind.RELU]


def test_a_step_knows_the_shape_of_a_sample() -> None:
    trace = ForwardTrace(torch.empty(1009, 2, 3, 4, device="meta"), StateNames({}))
    output = trace.run(Forward(lambda x: x.flatten(2).flatten(1)))
    assert [step.shape for step in trace.steps_to(output, "the output")] == [(2, 12, 1), (24, 1, 1)]


def foreign_backward(images: Tensor) -> Tensor:
    with torch.no_grad():
        return images.relu()


def stale_view(images: Tensor) -> Tensor:
    hidden = images.sigmoid()
    view = hidden.flatten(1)
    functional.relu(hidden, inplace=True)
    return view.tanh()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: x.exp(), "exp is no layer"),
        (lambda x: torch.add(1, x), "add is no layer"),
        (lambda x: torch.stack([x, x], 1), "stack is no layer"),
        (lambda x: x.chunk(2)[0], "chunk is no layer"),
        (lambda x: x.mT, "mT is no layer"),
        (lambda x: x.relu() if x.requires_grad else x.tanh(), "requires_grad is no layer"),
        (lambda x: torch.rand(1009, 2, 3, 4), "output is not computed"),
        (lambda x: functional.relu(torch.rand(1009, 2, 3, 4)), r"relu a tensor \(1009, 2, 3, 4\)"),
        (lambda x: x.view(-1, 6), r"makes a tensor \(4036, 6\)"),
        (lambda x: x.view(-1), r"makes a tensor \(24216,\)"),
        (lambda x: x.double(), "torch.float64.*torch.float32"),
        (lambda x: functional.relu(x, inplace=True), "images in place"),
        (lambda x: 1 // 0, "cannot be traced: ZeroDivisionError"),
        (foreign_backward, "without gradients"),
        (stale_view, "changed in place"),
    ],
)
def test_what_is_no_layer_is_refused(forward: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(NotAChain, match=message):
        kinds_of(forward)
