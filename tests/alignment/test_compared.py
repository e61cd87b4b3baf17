"""Samples that are not finite, or overflow: what is verified on others leaves those as they are."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext import clipped_gradient_sum, gradient_norms, per_sample_alignment
from gradcon_ext.alignment import proof
from gradcon_ext.alignment.compared import compared_samples
from gradcon_ext.alignment.plain import SampleGradient
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.sums import absolute_sums
from support.model_families import FAMILIES, Family, squared_output

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning"),
]
SAMPLES = 6
BROKEN = {"NaN": math.nan, "infinite": math.inf, "overflows": 3e38}


class TwoOrMore(nn.Module):
    """Has no output for one sample alone; may let samples influence each other."""

    def __init__(self, mixes: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
        self.mixes = mixes

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError("expected two samples or more")
        output = self.layers(x)
        return functional.batch_norm(output, None, None, training=True) if self.mixes else output


class Normalised(nn.Module):
    """Normalises over the batch, whatever its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(self.layer(x), None, None, training=True)


MODELS = {**FAMILIES, "two or more": Family(TwoOrMore, (5,), squared_output)}


def norms(model: nn.Module, loss: Callable[..., Tensor], inputs: Tensor) -> list[Tensor]:
    return list(gradient_norms(model, loss, inputs).values())


def absolute(model: nn.Module, loss: Callable[..., Tensor], inputs: Tensor) -> list[Tensor]:
    return list(absolute_sums(model, loss, inputs, [name for name, _ in model.named_parameters()]).values())


def cosines(model: nn.Module, loss: Callable[..., Tensor], inputs: Tensor) -> list[Tensor]:
    references = {name: torch.ones_like(weight) for name, weight in model.named_parameters()}
    return list(per_sample_alignment(model, loss, inputs, references).cosine.values())


def clipped(model: nn.Module, loss: Callable[..., Tensor], inputs: Tensor) -> list[Tensor]:
    return list(clipped_gradient_sum(model, loss, inputs, 1.0).values())


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("name", MODELS)
def test_the_first_batch_is_as_a_later_one(name: str, broken: str) -> None:
    torch.manual_seed(0)
    family = MODELS[name]
    model, inputs = family.build().eval(), torch.randn(SAMPLES, *family.shape)
    for of_samples, function in ((True, norms), (True, absolute), (True, cosines), (False, clipped)):
        later = copy.deepcopy(model)
        whole = function(later, family.loss, inputs)
        for place in (0, 3, SAMPLES - 1):
            samples = inputs.clone()
            samples[place] = BROKEN[broken]
            others = [row for row in range(SAMPLES) if row != place]
            first = function(copy.deepcopy(model), family.loss, samples)
            for found, after, alone in zip(first, function(later, family.loss, samples), whole, strict=True):
                torch.testing.assert_close(found, after, equal_nan=True)
                if of_samples:
                    torch.testing.assert_close(found[others], alone[others], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("place", [0, 3, 5])
@pytest.mark.parametrize("broken", ["NaN", "infinite", "overflows"])
@pytest.mark.parametrize(
    ("build", "shape"), [(Normalised, (1, 5, 5)), (lambda: TwoOrMore(mixes=True), (5,))], ids=["alone", "two or more"]
)
def test_samples_that_influence_each_other_are_refused_all_the_same(
    build: Callable[[], nn.Module], shape: tuple[int, ...], broken: str, place: int
) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(SAMPLES, *shape)
    inputs[place] = BROKEN[broken]
    with pytest.raises(ValueError, match="samples influence each other"):
        gradient_norms(build(), squared_output, inputs)


@pytest.mark.parametrize(
    ("broken", "compared"),
    [
        ({}, [0, 1]),
        ({0: math.nan}, [1, 4]),
        ({1: math.inf}, [0, 2]),
        ({1: 3e38, 2: 3e38}, [0, 3]),
        ({0: 3e38, 1: 1e30}, [2, 3]),
        ({row: math.nan for row in range(4)}, [4]),
        ({row: math.nan for row in range(5)}, []),
    ],
)
def test_finite_samples_are_compared(broken: dict[int, float], compared: list[int]) -> None:
    model, inputs = nn.Linear(5, 3), torch.tensor([0.0, 9.0, 8.0, 7.0, 1.0])[:, None] + torch.rand(5)
    for row, value in broken.items():
        inputs[row] = value
    samples = compared_samples(
        prepare(model, ["weight"]), lambda output, _: (output.square().sum(1), None), inputs, inputs, alone=True
    )
    assert len(samples) == 2
    assert sorted(row for row, sample in samples.items() if sample.is_finite()) == compared


def test_no_search_for_gradients_that_no_sample_has() -> None:
    """Losses are finite here, and no gradient: the root of zero has none."""
    passes = 0

    def loss(output: Tensor, _: Tensor) -> tuple[Tensor, None]:
        nonlocal passes
        passes += len(output) == 1
        return (output - output).sum(1).sqrt(), None

    inputs = torch.rand(100, 3)
    samples = compared_samples(prepare(nn.Linear(3, 2), ["weight"]), loss, inputs, inputs, alone=True)
    assert (len(samples), passes) == (2, 8)
    assert not any(sample.is_finite() for sample in samples.values())


def test_what_was_not_compared_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[int] = []

    def noted(*arguments: Any, **named: Any) -> dict[int, SampleGradient]:
        verified.append(1)
        return compared_samples(*arguments, **named)

    monkeypatch.setattr(proof, "compared_samples", noted)
    model, inputs = nn.Linear(5, 3), torch.randn(SAMPLES, 5)
    only_one, all_but_one = inputs.clone(), inputs.clone()
    only_one[1:], all_but_one[0] = math.nan, math.nan
    for samples, times in ((inputs * math.nan, 1), (only_one, 2), (all_but_one, 3), (inputs, 3)):
        gradient_norms(model, squared_output, samples)
        assert len(verified) == times
