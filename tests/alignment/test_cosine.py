"""The one rule of the cosine, on the same edge cases for everything that computes one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import runtime
from gradcon_ext.alignment.cosine import SMALLEST_NORM, cosine_of, smallest_differentiable_norm
from gradcon_ext.alignment.per_sample import per_sample_alignment
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import squared_error
from gradcon_ext.ops import objective_gradient, running_mean_cosine_
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.training.constraint import GradientConstraint

# Norms whose squares leave float32 on either side, from its smallest normal numbers on.
SCALES = [1e-36, 1e-22, 1e-12, 1.0, 1e19, 1e32]


class Linear(nn.Sequential):
    """A gradient as large as the encoder's weight: the decoder's is 0, so the residual is the image."""

    def __init__(self, scale: float) -> None:
        super().__init__(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.Linear(5, 12), nn.Unflatten(1, (1, 3, 4)))
        self.weight_name = "2.weight"
        prepare(self, self[1], self[2], scale)


class Convolution(nn.Sequential):
    def __init__(self, scale: float) -> None:
        super().__init__(nn.Conv2d(1, 5, 2, bias=False), nn.ConvTranspose2d(5, 1, 2))
        self.weight_name = "1.weight"
        prepare(self, self[0], self[1], scale)


def prepare(model: nn.Module, encoder: nn.Module, decoder: nn.Module, scale: float) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        encoder.weight.copy_(torch.randn_like(encoder.weight) * scale)
        for parameter in decoder.parameters():
            parameter.zero_()
    model.eval()


def images() -> Tensor:
    return torch.rand(3, 1, 3, 4, generator=torch.Generator().manual_seed(1))


def reference_of(model: nn.Module, scale: float) -> Tensor:
    weight = model.get_parameter(model.weight_name)
    return torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * scale


def gradients(model: nn.Module) -> Tensor:
    """One a sample, in float64, of the numbers that the model holds in float32."""
    double = type(model)(1.0).double()
    double.load_state_dict(model.state_dict())
    weight = double.get_parameter(model.weight_name)
    losses = squared_error(double(images().double()), images().double()).reconstruction
    return torch.stack([torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in losses])


def expected(gradient: Tensor, reference: Tensor) -> float:
    """The rule, written out."""
    g, r = gradient.double().flatten(), reference.double().flatten()
    norms = g.norm().item(), r.norm().item()
    if not all(map(math.isfinite, norms)):
        return math.nan
    if min(norms) <= SMALLEST_NORM:
        return 0.0
    return max(-1.0, min(1.0, ((g / norms[0]) @ (r / norms[1])).item()))


def by_scorer(model: nn.Module, reference: Tensor, tmp_path: Path) -> Tensor:
    scorer = Scorer(model, {model.weight_name: reference})
    cosines = scorer.score(images()).cosine[:, 0]
    assert scorer.engine is not None and scorer.engine.name == "fused chain", scorer.engine
    return cosines


def by_runtime(model: nn.Module, reference: Tensor, tmp_path: Path) -> Tensor:
    path = tmp_path / "detector.safetensors"
    Detector(model, {model.weight_name: reference}, 3, 0.2, {"channels": 1, "size": [3, 4]}).save(path)
    return torch.from_numpy(np.asarray(runtime.Scorer.load(path).score(images().numpy()).cosine[:, 0]))


def by_any_model(model: nn.Module, reference: Tensor, tmp_path: Path, route: str = "fused") -> Tensor:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return squared_error(output, target).reconstruction

    alignment = per_sample_alignment(model, loss, images(), {model.weight_name: reference}, images())
    assert alignment.route[model.weight_name].startswith(route)
    return alignment.cosine[model.weight_name]


PER_SAMPLE = [by_scorer, by_runtime, by_any_model]


@pytest.mark.parametrize("reference_scale", SCALES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("network", [Linear, Convolution])
@pytest.mark.parametrize("by", PER_SAMPLE)
def test_per_sample_cosines_of_any_size(
    by: Callable[..., Tensor], network: type[nn.Module], scale: float, reference_scale: float, tmp_path: Path
) -> None:
    model = network(scale)
    reference = reference_of(model, reference_scale)
    cosines = by(model, reference, tmp_path)
    wanted = [expected(gradient, reference) for gradient in gradients(model)]
    torch.testing.assert_close(cosines.double(), torch.tensor(wanted).double(), rtol=0, atol=2e-6)
    assert min(map(abs, wanted)) > 1e-3  # so that a made-up 0 is noticed


@pytest.mark.parametrize("exponent", [-22, -15, 10, 15, 18])
def test_vectors_of_opposite_sizes(exponent: int) -> None:
    """The gradient of a linear layer is as large as the product of two vectors, of which each may leave float32."""
    generator = torch.Generator().manual_seed(3)
    x, weights = torch.randn(4, 6, generator=generator) * 10.0**exponent, torch.randn(4, 5, generator=generator)
    weights = weights * 10.0 ** (-exponent - 6)
    layer = nn.Linear(6, 5)
    reference = torch.randn(5, 6, generator=generator)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (output * target).sum(1)

    alignment = per_sample_alignment(layer, loss, x, {"weight": reference}, weights)
    wanted = [expected(weights[n, :, None].double() * x[n].double(), reference) for n in range(4)]
    torch.testing.assert_close(alignment.cosine["weight"].double(), torch.tensor(wanted).double(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("network", [Linear, Convolution])
@pytest.mark.parametrize("by", PER_SAMPLE)
def test_zeros_have_cosine_zero(by: Callable[..., Tensor], network: type[nn.Module], tmp_path: Path) -> None:
    for scale, reference_scale in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0)):
        model = network(scale)
        assert by(model, reference_of(model, reference_scale), tmp_path).tolist() == [0, 0, 0]


@pytest.mark.parametrize("network", [Linear, Convolution])
def test_what_is_not_finite_is_never_a_score(network: type[nn.Module], tmp_path: Path) -> None:
    model = network(math.inf)
    reference = reference_of(model, 1.0)
    scorer = Scorer(model, {model.weight_name: reference})
    assert scorer.score(images()).cosine.isnan().all()
    assert scorer.engine.name == "any model"  # NaN says nothing of what is fast, which is not proven by it.
    assert by_any_model(model, reference, tmp_path).isnan().all()


VECTORS = {
    "zero": torch.zeros(7),
    "denormal": torch.full((7,), 1e-42) * torch.arange(-2, 5),
    **{f"{scale:g}": torch.linspace(-1, 3, 7) * scale for scale in SCALES},
    "infinite": torch.tensor([math.inf, *[1.0] * 6]),
    "NaN": torch.tensor([math.nan, *[1.0] * 6]),
}


def by_formula(gradient: Tensor, reference: Tensor) -> Tensor:
    g, r = gradient.double(), reference.double()
    return cosine_of(g @ r, g.norm(), r.norm())


def by_running_mean(gradient: Tensor, reference: Tensor) -> Tensor:
    return running_mean_cosine_(reference.clone(), gradient, 3)


def by_iteration(gradient: Tensor, reference: Tensor, capturable: bool = False) -> Tensor:
    """One of training without a constraint, which also takes the gradient into the mean."""
    weight = nn.Parameter(torch.zeros_like(gradient))
    constraint = GradientConstraint({"weight": weight}, alpha=0.0, capturable=capturable)
    constraint.load_state_dict({"references": {"weight": reference}, "count": 3})
    weight.grad = gradient.clone()
    (cosine,) = constraint.measure()
    expected = reference + (gradient - reference) / 4
    torch.testing.assert_close(constraint.references["weight"], expected, equal_nan=True)
    return cosine


@pytest.mark.parametrize("reference", VECTORS)
@pytest.mark.parametrize("gradient", VECTORS)
@pytest.mark.parametrize("by", [by_formula, by_running_mean, by_iteration, partial(by_iteration, capturable=True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosines_of_single_vectors(
    by: Callable[[Tensor, Tensor], Tensor], gradient: str, reference: str, dtype: torch.dtype
) -> None:
    g, r = VECTORS[gradient].to(dtype), VECTORS[reference].flip(0).to(dtype)
    cosine = by(g, r)
    torch.testing.assert_close(cosine.double().item(), expected(g, r), rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("reference", VECTORS)
@pytest.mark.parametrize("gradient", VECTORS)
def test_cosines_of_the_constraint(gradient: str, reference: str) -> None:
    """Where they are differentiated, more counts as zero."""
    g, r = VECTORS[gradient], VECTORS[reference].flip(0)
    weight = nn.Parameter(torch.zeros(7))
    constraint = GradientConstraint({"weight": weight}, alpha=0.1)
    constraint.references["weight"].copy_(r)
    smallest = smallest_differentiable_norm(torch.float32)
    wanted = expected(*(torch.zeros(7) if vector.double().norm() <= smallest else vector for vector in (g, r)))
    torch.testing.assert_close(constraint.cosines([g])[0].double().item(), wanted, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("reference_scale", [0.0, 1e-36, 1e-30, 1e-12, 1.0, 1e12, 1e25])
@pytest.mark.parametrize("scale", [0.0, 1e-36, 1e-29, 1e-12, 1.0, 1e12, 1e25])
@pytest.mark.parametrize("network", [Linear, Convolution])
def test_cosines_of_fused_training(network: type[nn.Module], scale: float, reference_scale: float) -> None:
    """The gradient of the batch, by the rule for what is differentiated."""
    model = network(scale)
    reference = reference_of(model, reference_scale)
    chain = trace_chain(model, [model.weight_name], squared_error, (1, 3, 4))
    parameters = parameters_of(chain, model)
    result = objective_gradient(images(), parameters, [reference], chain.encoded, None, 0.03)
    smallest = smallest_differentiable_norm(torch.float32)
    mean = gradients(model).mean(0)
    vectors = (torch.zeros_like(v) if v.double().norm() <= smallest else v for v in (mean, reference))
    torch.testing.assert_close(result.cosine[0].double().item(), expected(*vectors), rtol=0, atol=2e-6)
