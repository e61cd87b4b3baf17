"""Norms of single samples' gradients, and their clipped sum, beside plain autograd, one sample at a time."""

from __future__ import annotations

import math
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext import clipped_gradient_sum, gradient_norms
from support.model_families import FAMILIES, MultipleOutputs, squared_output

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning"),
]

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def gradients_of(model: nn.Module, loss, inputs: Tensor, targets: Tensor | None = None) -> dict[str, Tensor]:
    """The definition: (N, *weight) by name."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    targets = inputs if targets is None else targets
    rows = [
        torch.autograd.grad(loss(model(input[None]), target[None]).sum(), parameters)
        for input, target in zip(inputs, targets, strict=True)
    ]
    return {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def clipped(gradients: dict[str, Tensor], bound: float) -> dict[str, Tensor]:
    """Algorithm 1 of Abadi et al. (2016) to the letter, but for the noise."""
    together = torch.cat([gradient.flatten(1) for gradient in gradients.values()], 1)
    divisors = (together.norm(dim=1) / bound).clamp(min=1)
    return {
        name: sum(sample / divisor for sample, divisor in zip(gradient, divisors, strict=True))
        for name, gradient in gradients.items()
    }


@pytest.mark.parametrize("batch_size", [None, np.int64(2)])
@pytest.mark.parametrize("name", FAMILIES)
def test_agree_with_a_per_sample_loop(device: str, name: str, batch_size: int | None) -> None:
    family = FAMILIES[name]
    model = family.build().double().eval().to(device)
    inputs = torch.randn(5, *family.shape, dtype=torch.float64).to(device)
    norms = gradient_norms(model, family.loss, inputs, batch_size=batch_size)
    gradients = gradients_of(model, family.loss, inputs)
    assert norms.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(norms[parameter], gradient.flatten(1).norm(dim=1), **CLOSE)
    bound = float(torch.stack([*norms.values()]).norm(dim=0).median())  # some are clipped, and some are not
    sums = clipped_gradient_sum(model, family.loss, inputs, bound, batch_size=batch_size)
    expected = clipped(gradients, bound)
    assert sums.keys() == expected.keys()
    for parameter, total in sums.items():
        torch.testing.assert_close(total, expected[parameter], **CLOSE)


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


cross_entropy = partial(functional.cross_entropy, reduction="none")


def test_targets_go_with_their_samples() -> None:
    model, inputs, labels = classifier().double(), torch.randn(5, 1, 6, 6).double(), torch.tensor([0, 2, 1, 1, 0])
    gradients = gradients_of(model, cross_entropy, inputs, labels)
    norms = gradient_norms(model, cross_entropy, inputs, targets=labels, batch_size=2)
    for name, gradient in gradients.items():
        torch.testing.assert_close(norms[name], gradient.flatten(1).norm(dim=1), **CLOSE)
    sums = clipped_gradient_sum(model, cross_entropy, inputs, 0.5, targets=labels, batch_size=2)
    for name, expected in clipped(gradients, 0.5).items():
        torch.testing.assert_close(sums[name], expected, **CLOSE)


@settings(max_examples=20)
@given(bound=st.floats(1e-3, 1e3), scale=st.floats(1e-3, 1e3))
def test_one_samples_share_of_the_sum_is_bounded(bound: float, scale: float) -> None:
    """What privacy rests on: with or without a sample, the sum moves by the bound at most."""
    model, inputs = classifier().double(), scale * torch.randn(3, 1, 6, 6).double()
    labels = torch.tensor([0, 1, 2])
    whole, without = (
        clipped_gradient_sum(model, cross_entropy, inputs[:count], bound, targets=labels[:count]) for count in (3, 2)
    )
    moved = torch.cat([(whole[name] - without[name]).flatten() for name in whole]).norm()
    assert moved <= bound * (1 + 1e-9)


def test_a_high_bound_leaves_the_plain_sum() -> None:
    model, inputs = classifier(), torch.randn(4, 1, 6, 6)
    sums = clipped_gradient_sum(model, squared_output, inputs, 1e9)
    squared_output(model(inputs), inputs).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(sums[name], parameter.grad, rtol=1e-4, atol=1e-4)


def test_those_that_require_a_gradient_are_the_default_and_names_choose() -> None:
    model, inputs = classifier(), torch.randn(2, 1, 6, 6)
    model[0].requires_grad_(False)
    assert list(gradient_norms(model, squared_output, inputs)) == ["1.weight", "1.bias", "4.weight", "4.bias"]
    alone = ["0.weight"]
    assert list(gradient_norms(model, squared_output, inputs, alone)) == alone
    sums = clipped_gradient_sum(model, squared_output, inputs, 1e-3, alone)
    gradient = gradients_of(classifier_like(model), squared_output, inputs)["0.weight"]
    torch.testing.assert_close(sums["0.weight"], clipped({"0.weight": gradient}, 1e-3)["0.weight"])


def classifier_like(model: nn.Module) -> nn.Module:
    other = classifier()
    other.load_state_dict(model.state_dict())
    return other


def test_the_model_is_not_changed() -> None:
    model, inputs = classifier(), torch.randn(2, 1, 6, 6)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    clipped_gradient_sum(model, squared_output, inputs, 0.1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_gradients_whose_squares_leave_float32_keep_their_norms() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    inputs = torch.tensor([[1e-25, 0, 0], [1.0, 0, 0], [1e25, 0, 0]])
    norms = gradient_norms(model, lambda output, _: output.sum(1), inputs)["0.weight"]
    assert norms.dtype == torch.float32
    torch.testing.assert_close(norms, 2**0.5 * inputs[:, 0])


def test_half_precision_is_summed_in_float32() -> None:
    model, inputs = nn.Sequential(nn.Linear(3, 2)).bfloat16(), torch.randn(4, 3).bfloat16()
    assert {norm.dtype for norm in gradient_norms(model, squared_output, inputs).values()} == {torch.float32}
    sums = clipped_gradient_sum(model, squared_output, inputs, 0.1)
    assert {total.dtype for total in sums.values()} == {torch.float32}


def test_a_zero_gradient_adds_nothing_and_one_that_is_not_finite_is_not_hidden() -> None:
    model, inputs = nn.Sequential(nn.Linear(2, 2, bias=False)), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    sums = clipped_gradient_sum(model, squared_output, inputs, 0.5)
    assert math.isclose(float(sums["0.weight"].norm()), 0.5, rel_tol=1e-6)
    inputs[0] = math.inf
    assert clipped_gradient_sum(model, squared_output, inputs, 0.5)["0.weight"].isnan().any()


def test_of_no_samples_there_are_no_norms_and_the_sum_is_zero() -> None:
    model, none = classifier(), torch.randn(0, 1, 6, 6)
    assert {norm.shape for norm in gradient_norms(model, squared_output, none).values()} == {(0,)}
    sums = clipped_gradient_sum(model, squared_output, none, 1.0)
    assert {name: total.shape for name, total in sums.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }
    assert not any(total.any() for total in sums.values())


@pytest.mark.parametrize("of", [gradient_norms, partial(clipped_gradient_sum, bound=1.0)], ids=["norms", "sum"])
def test_what_the_loss_does_not_depend_on_is_told_of_where_it_was_called(of) -> None:
    with pytest.warns(UserWarning, match=r"not depend on second\.weight, second\.bias: their gradients") as caught:
        found = of(MultipleOutputs(), lambda output, _: output["first"].sum(1), torch.randn(2, 6))
    assert caught[0].filename == __file__
    assert found["first.weight"].any()
    assert not found["second.weight"].any()


@pytest.mark.parametrize("of", [gradient_norms, partial(clipped_gradient_sum, bound=1.0)], ids=["norms", "sum"])
def test_the_activations_of_a_pass_are_gone_before_the_next(of) -> None:
    model = nn.Sequential(nn.Conv1d(4, 4, 1), nn.Tanh(), nn.Conv1d(4, 4, 1))
    events: list[str] = []

    def watch(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        events.append("made")
        weakref.finalize(output, events.append, "gone")

    model[1].register_forward_hook(watch)
    of(model, squared_output, torch.randn(6, 4, 5), batch_size=2)  # The first batch is also verified.
    events.clear()
    of(model, squared_output, torch.randn(6, 4, 5), batch_size=2)
    assert events == ["made", "gone"] * 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bound": 0.0}, "bound.* 0.0$"),
        ({"bound": -1.0}, "bound.* -1.0$"),
        ({"bound": math.nan}, "bound.* nan$"),
        ({"bound": math.inf}, "bound.* inf$"),
        ({"parameters": []}, "no parameter"),
        ({"parameters": ["nothing"]}, "no parameter 'nothing'"),
        ({"targets": torch.zeros(3)}, "2 inputs.* 3 targets"),
        ({"batch_size": 0}, "batch_size.* 0$"),
    ],
)
def test_bad_arguments(changed, message) -> None:
    with pytest.raises(ValueError, match=message):
        clipped_gradient_sum(classifier(), squared_output, torch.randn(2, 1, 6, 6), **{"bound": 1.0, **changed})


def test_models_without_a_norm_for_each_sample() -> None:
    with pytest.raises(ValueError, match="BatchNorm"):
        gradient_norms(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), squared_output, torch.randn(3, 4))
    with pytest.raises(ValueError, match="requires a gradient"):
        gradient_norms(classifier().requires_grad_(False), squared_output, torch.randn(2, 1, 6, 6))
    complex_model = nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="0.weight is complex"):
        gradient_norms(complex_model, lambda output, _: output.abs().sum(1), torch.randn(2, 2, dtype=torch.complex64))
