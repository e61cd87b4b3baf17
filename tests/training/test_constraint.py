from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint

AVERAGES = ("objective", "primal")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def weights_of(model):
    return {name: layer.weight for name, layer in constrained_layers(model).items()}


def loss_of(model, images):
    return model.loss(model(images), images).total.mean()


def naive_backward(loss, weights, references, alpha):
    """Builds J with its cosines in the graph, and differentiates it; returns dL/dW and the cosines."""
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    cosines = [
        (gradient * reference).sum() / (gradient.norm() * reference.norm())
        for gradient, reference in zip(gradients, references, strict=True)
    ]
    (loss - alpha * torch.stack(cosines).mean()).backward()
    return [gradient.detach() for gradient in gradients], torch.stack(cosines).detach()


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("average", AVERAGES)
def test_gradients_and_references_equal_those_of_the_objective_differentiated_naively(model_type, average):
    model = model_type(2, (9, 12), width=3).double().eval()
    twin = copy.deepcopy(model)
    constraint = GradientConstraint(weights_of(model), alpha=0.3, average=average)
    weights = list(weights_of(twin).values())
    history = []
    for step in range(4):
        images = torch.rand(5, 2, 9, 12, dtype=torch.float64)
        model.zero_grad()
        twin.zero_grad()
        cosines = constraint.backward(loss_of(model, images))
        if step == 0:
            expected = torch.zeros(4, dtype=torch.float64)
            loss_of(twin, images).backward()
            gradients = [weight.grad for weight in weights]
        else:
            references = [torch.stack(layer).mean(0) for layer in zip(*history, strict=True)]
            gradients, expected = naive_backward(loss_of(twin, images), weights, references, 0.3)
        history.append(gradients if average == "primal" else [weight.grad.clone() for weight in weights])

        torch.testing.assert_close(cosines, expected, rtol=1e-10, atol=1e-10)
        for given, wanted in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(given.grad, wanted.grad, rtol=1e-10, atol=1e-13)
    assert constraint.count == 4
    for reference, layer in zip(constraint.references.values(), zip(*history, strict=True), strict=True):
        torch.testing.assert_close(reference, torch.stack(layer).mean(0), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("average", AVERAGES)
def test_without_alpha_the_cosines_are_measured_and_nothing_is_constrained(average):
    model = ConvAutoencoder(1, 8, width=4)
    constraint = GradientConstraint(weights_of(model), alpha=0, average=average)
    plain = []
    for step in range(3):
        images = torch.rand(4, 1, 8, 8)
        expected = torch.autograd.grad(loss_of(model, images), list(model.parameters()))
        layer_gradients = torch.autograd.grad(loss_of(model, images), list(weights_of(model).values()))
        expected_cosines = constraint.cosines(layer_gradients)
        model.zero_grad()
        cosines = constraint.backward(loss_of(model, images))
        assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))
        torch.testing.assert_close(cosines, expected_cosines, rtol=1e-5, atol=1e-6)
        assert cosines.any() == (step > 0)
        plain.append(layer_gradients)
    for reference, gradients in zip(constraint.references.values(), zip(*plain, strict=True), strict=True):
        torch.testing.assert_close(reference, torch.stack(gradients).mean(0), rtol=1e-5, atol=1e-8)


def test_backward_adds_to_the_gradients_of_unconstrained_parameters():
    model = ConvAutoencoder(1, 8, width=4)
    images = torch.rand(4, 1, 8, 8)
    loss_of(model, images).backward()
    before = model.encoder[0].weight.grad.clone()
    GradientConstraint(weights_of(model)).backward(loss_of(model, images))
    torch.testing.assert_close(model.encoder[0].weight.grad, 2 * before)


def test_cosines_are_plain_numbers():
    model = ConvAutoencoder(1, 8, width=4)
    constraint = GradientConstraint(weights_of(model))
    for _ in range(2):
        model.zero_grad()
        cosines = constraint.backward(loss_of(model, torch.rand(4, 1, 8, 8)))
        assert cosines.shape == (4,)
        assert not cosines.requires_grad
    assert not any(reference.requires_grad for reference in constraint.references.values())


def constraint_with(reference):
    weight = torch.ones_like(reference, requires_grad=True)
    constraint = GradientConstraint({"weight": weight}, alpha=1.0)
    constraint.load_state_dict({"references": {"weight": reference}, "count": 1})
    return constraint, weight


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e-20, 1e-25, 1e-30, 1e25])
def test_a_cosine_does_not_depend_on_scale(scale):
    gradient, reference = torch.randn(3, 4), torch.randn(3, 4)
    constraint, _ = constraint_with(reference * scale)
    expected = torch.cosine_similarity(gradient.flatten(), reference.flatten(), dim=0)
    torch.testing.assert_close(constraint.cosines([gradient * scale])[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(constraint.cosines([gradient])[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e-25])
def test_the_constraint_acts_on_tiny_gradients_as_on_large_ones(scale):
    """J = L - cos(dL/dW) with L = s/2 |W - target|^2, whose cosine's gradient does not depend on s."""
    target, reference = torch.randn(3, 4), torch.randn(3, 4)
    constraint, weight = constraint_with(reference)
    constraint.backward(0.5 * scale * (weight - target).square().sum())

    again = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    cosine = torch.cosine_similarity((again - target).flatten(), reference.double().flatten(), dim=0, eps=0)
    (0.5 * scale * (again - target).square().sum() - cosine).backward()
    torch.testing.assert_close(weight.grad, again.grad.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-45, 1e-42, 1e-38, 1e-35, 1e-31, 1e-30])
@pytest.mark.parametrize("reference_scale", [0.0, 1e-45, 1e-38, 1e-20, 1.0])
@pytest.mark.parametrize("average", AVERAGES)
def test_vanishing_gradients_give_finite_numbers(scale, reference_scale, average):
    model = nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 6))
    weights = {"0.weight": model[0].weight, "2.weight": model[2].weight}
    constraint = GradientConstraint(weights, alpha=0.03, average=average)
    references = {name: torch.randn_like(weight) * reference_scale for name, weight in weights.items()}
    constraint.load_state_dict({"references": references, "count": 1})
    cosines = constraint.backward(scale * model(torch.rand(5, 6)).square().mean())
    assert cosines.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(reference.isfinite().all() for reference in constraint.references.values())


def test_a_dead_layer_has_cosine_zero_and_no_gradient():
    model = ConvAutoencoder(1, 8, width=4)
    constraint = GradientConstraint(weights_of(model), alpha=0.5)
    constraint.backward(loss_of(model, torch.rand(4, 1, 8, 8)))
    nn.init.constant_(model.decoder[4].bias, -1e6)
    for _ in range(3):
        model.zero_grad()
        cosines = constraint.backward(loss_of(model, torch.rand(4, 1, 8, 8)))
        assert torch.equal(cosines, torch.zeros(4))
        assert not any(weight.grad.any() for weight in weights_of(model).values())
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_gradient_that_no_parameter_changes_is_not_differentiated():
    model = nn.Linear(3, 2)
    constraint = GradientConstraint({"weight": model.weight}, alpha=0.5)
    images = torch.rand(4, 3)
    for _ in range(2):
        model.zero_grad()
        cosines = constraint.backward(model(images).mean())
    torch.testing.assert_close(cosines, torch.ones(1))
    torch.testing.assert_close(model.weight.grad, torch.autograd.grad(model(images).mean(), model.weight)[0])


def test_a_weight_that_the_loss_does_not_depend_on_is_named():
    model = ConvAutoencoder(1, 8, width=4)
    constraint = GradientConstraint(weights_of(model))
    with pytest.raises(ValueError, match=r"'decoder\.0\.weight'"):
        constraint.backward(model.encoder(torch.rand(1, 1, 8, 8)).mean())


def test_references_follow_the_layout_and_dtype_but_not_the_strides_of_their_weights():
    weight = torch.zeros(2, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    constraint = GradientConstraint({"weight": weight.requires_grad_()})
    assert constraint.references["weight"].is_contiguous()
    assert constraint.references["weight"].dtype == torch.float64
    for _ in range(2):
        weight.grad = None
        constraint.backward(weight.square().sum())


def test_the_state_is_taken_over_by_another_constraint():
    model = ConvAutoencoder(1, 8, width=4)
    first, second = GradientConstraint(weights_of(model)), GradientConstraint(weights_of(model))
    first.backward(loss_of(model, torch.rand(4, 1, 8, 8)))
    second.load_state_dict(first.state_dict())
    assert second.count == 1
    for name, reference in first.references.items():
        assert torch.equal(second.references[name], reference)
        assert second.references[name] is not reference


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"references": {}, "count": 1}, r"references .*\{'weight': \(2, 3\)\}.* \{\}"),
        ({"references": {"weight": torch.zeros(3, 2)}, "count": 1}, r"got \{'weight': \(3, 2\)\}"),
        ({"references": {"bias": torch.zeros(2, 3)}, "count": 1}, "got {'bias'"),
        ({"references": {"weight": torch.zeros(2, 3)}, "count": -1}, "count.* -1"),
    ],
)
def test_a_state_that_does_not_fit_is_an_error(state, message):
    constraint = GradientConstraint({"weight": torch.zeros(2, 3, requires_grad=True)})
    with pytest.raises(ValueError, match=message):
        constraint.load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {}}, "weights.* none|none.*weights|got none"),
        ({"weights": {"frozen": torch.zeros(2)}}, "'frozen' .*leaf"),
        ({"weights": {"made": torch.zeros(2, requires_grad=True) * 2}}, "'made' .*leaf"),
        ({"alpha": -0.1}, "alpha .* -0.1"),
        ({"alpha": float("nan")}, "alpha .* nan"),
        ({"average": "median"}, r"average .*\('objective', 'primal'\).* 'median'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        GradientConstraint(**{"weights": {"weight": torch.zeros(2, requires_grad=True)}, **arguments})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("average", ["objective", "primal"])
def test_a_constraint_for_graphs_has_the_same_means_and_cosines(average, dtype):
    """Its count is on the device, which the op does not take; the rules of mean and cosine are the same."""
    generator = torch.Generator().manual_seed(2)
    weights = [torch.rand(3, 4, dtype=dtype, generator=generator).requires_grad_() for _ in range(2)]
    twins = [weight.detach().clone().requires_grad_() for weight in weights]
    plain = GradientConstraint({"a": weights[0], "b": weights[1]}, 0.4, average)
    for_graphs = GradientConstraint({"a": twins[0], "b": twins[1]}, 0.4, average, capturable=True)
    for _ in range(6):
        target = torch.rand(3, 4, dtype=dtype, generator=generator)
        cosines = []
        for constraint, (first, second) in ((plain, weights), (for_graphs, twins)):
            first.grad = second.grad = None
            cosines.append(constraint.backward(((first * second).sin() - target).square().sum()))
        torch.testing.assert_close(*cosines, rtol=1e-6, atol=1e-6)
    assert plain.count == for_graphs.count == 6
    for name, reference in plain.references.items():
        torch.testing.assert_close(for_graphs.references[name], reference, rtol=1e-6, atol=1e-7)
