from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.capture import captured


def frozen(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).requires_grad_(False)


def test_inputs_and_output_gradients_are_those_of_autograd() -> None:
    model = frozen(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 5))
    x = torch.randn(6, 4)
    with captured({"second": model[2], "third": model[4]}) as capture:
        loss = model(x).square().sum()
        torch.autograd.grad(loss, capture.leaves)
    hidden = model[1](model[0](x))
    second = model[2](hidden).requires_grad_()
    third = model[4](torch.tanh(second))
    expected_second, expected_third = torch.autograd.grad(third.square().sum(), [second, third])
    torch.testing.assert_close(capture.records["second"].input, hidden)
    torch.testing.assert_close(capture.records["second"].grad_output, expected_second)
    torch.testing.assert_close(capture.records["third"].grad_output, expected_third)


def test_an_activation_in_place_does_not_disturb_the_records() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 3), nn.Linear(3, 2)]
    records = []
    for inplace in (False, True):
        model = frozen(layers[0], nn.ReLU(inplace), layers[1], nn.ReLU(inplace))
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
        with captured({"first": model[0], "second": model[2]}) as capture:
            torch.autograd.grad(model(x).square().sum(), capture.leaves)
        records.append(capture.records)
    for name in ("first", "second"):
        assert torch.equal(records[0][name].input, records[1][name].input)
        assert torch.equal(records[0][name].grad_output, records[1][name].grad_output)


def test_the_graph_begins_at_the_first_layer() -> None:
    below = nn.Linear(4, 4).requires_grad_(False)
    model = frozen(below, nn.Linear(4, 2))
    reached = []
    with captured({"last": model[1]}) as capture:
        below.register_full_backward_hook(lambda *_: reached.append(True))
        torch.autograd.grad(model(torch.randn(3, 4)).sum(), capture.leaves)
    assert not reached
    assert capture.records["last"].grad_output is not None


def test_hooks_are_gone_afterwards_also_after_an_error() -> None:
    model = frozen(nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match="shapes"), captured({"only": model[0]}):
        model(torch.randn(2, 5))
    assert not model[0]._forward_hooks


def test_a_layer_that_runs_twice_is_refused() -> None:
    layer = nn.Linear(4, 4).requires_grad_(False)
    with pytest.raises(ValueError, match="'shared' runs more than once"), captured({"shared": layer}):
        layer(layer(torch.randn(2, 4)))


def test_a_call_with_more_than_a_tensor_is_refused() -> None:
    layer = nn.ConvTranspose2d(1, 1, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="one tensor and nothing else"), captured({"up": layer}):
        layer(torch.randn(1, 1, 2, 2), [3, 3])
