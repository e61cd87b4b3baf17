from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.alignment.capture import captured


def frozen(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).requires_grad_(False)


def test_inputs_and_output_gradients_are_those_of_autograd() -> None:
    model = frozen(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 5))
    x = torch.randn(6, 4)
    with captured([model[2], model[4]], {}) as capture:
        torch.autograd.grad(model(x).square().sum(), capture.leaves)
    hidden = model[1](model[0](x))
    second = model[2](hidden).requires_grad_()
    third = model[4](torch.tanh(second))
    expected_second, expected_third = torch.autograd.grad(third.square().sum(), [second, third])
    torch.testing.assert_close(capture.calls[model[2]][0].input, hidden)
    torch.testing.assert_close(capture.calls[model[2]][0].grad_output, expected_second)
    torch.testing.assert_close(capture.calls[model[4]][0].grad_output, expected_third)


def test_an_activation_in_place_does_not_disturb_the_records() -> None:
    first, second = nn.Linear(4, 3), nn.Linear(3, 2)
    x = torch.randn(6, 4)
    captures = []
    for inplace in (False, True):
        model = frozen(first, nn.ReLU(inplace), second, nn.ReLU(inplace))
        with captured([first, second], {}) as capture:
            torch.autograd.grad(model(x).square().sum(), capture.leaves)
        captures.append(capture)
    for layer in (first, second):
        apart, in_place = (capture.calls[layer][0] for capture in captures)
        assert torch.equal(apart.input, in_place.input)
        assert torch.equal(apart.grad_output, in_place.grad_output)


def test_the_graph_begins_at_the_first_module() -> None:
    below = nn.Linear(4, 4).requires_grad_(False)
    model = frozen(below, nn.Linear(4, 2))
    reached = []
    below.register_full_backward_hook(lambda *_: reached.append(True))
    with captured([model[1]], {}) as capture:
        torch.autograd.grad(model(torch.randn(3, 4)).sum(), capture.leaves)
    assert not reached
    assert capture.calls[model[1]][0].grad_output is not None


def test_every_call_of_a_module_and_every_use_of_a_parameter_is_counted() -> None:
    layer = nn.Linear(4, 4).requires_grad_(False)
    with captured([layer], {"weight": layer.weight}) as capture:
        hidden = layer(layer(torch.randn(2, 4)))
        torch.nn.functional.linear(hidden, layer.weight)
    assert len(capture.calls[layer]) == 2
    assert capture.uses["weight"] == 3


def test_a_call_with_more_than_a_tensor_is_irregular() -> None:
    layer = nn.ConvTranspose2d(1, 1, 2).requires_grad_(False)
    with captured([layer], {}) as capture:
        layer(torch.randn(1, 1, 2, 2), [3, 3])
    assert capture.irregular == {layer}
    assert not capture.calls


def test_hooks_are_gone_afterwards_also_after_an_error() -> None:
    model = frozen(nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match="shapes"), captured([model[0]], {}):
        model(torch.randn(2, 5))
    assert not model[0]._forward_hooks
