"""What a private copy of a model does not have, or has differently, is right all the same or refused."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Scorer, per_sample_alignment
from gradcon_ext.losses import squared_error

FACTORS: dict[Any, float] = {}
OF_MODULES: weakref.WeakKeyDictionary[nn.Module, float] = weakref.WeakKeyDictionary()


class Scaled(nn.Module):
    """Two layers, the second of which is scaled by what is known of it."""

    def __init__(self, factor: Callable[[Scaled], float | Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.layer = nn.Linear(4, 4), nn.Linear(4, 4)
        self.known = {self.layer: 3.0}
        self.layer.weight.gain = 3.0
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor(self) * self.layer(self.first(x).tanh())


def loss(output: Tensor, inputs: Tensor) -> Tensor:
    return (output - inputs).square().sum(1)


def cosines(model: nn.Module, inputs: Tensor) -> Tensor:
    return per_sample_alignment(model, loss, inputs, {"layer.weight": torch.eye(4)}).cosine["layer.weight"]


def by_loop(model: nn.Module, inputs: Tensor) -> Tensor:
    gradients = [torch.autograd.grad(loss(model(x[None]), x[None]).sum(), model.layer.weight)[0] for x in inputs]
    return torch.stack([nn.functional.cosine_similarity(g.flatten(), torch.eye(4).flatten(), dim=0) for g in gradients])


KNOWN_BY: dict[str, Callable[[Scaled], float | Tensor]] = {
    "key": lambda model: model.known.get(model.layer, 1.0),
    "weak key": lambda model: OF_MODULES.get(model.layer, 1.0),
    "id": lambda model: FACTORS.get(id(model.layer), 1.0),
    "attribute of a weight": lambda model: getattr(model.layer.weight, "gain", 1.0),
}


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
@pytest.mark.parametrize("name", KNOWN_BY)
def test_what_is_known_of_a_module_is_known_of_its_copy(name: str) -> None:
    model, inputs = Scaled(KNOWN_BY[name]), torch.randn(5, 4)
    FACTORS[id(model.layer)] = OF_MODULES[model.layer] = 3.0
    expected = by_loop(model, inputs)
    assert not torch.allclose(expected, by_loop(Scaled(lambda _: 1.0), inputs), atol=1e-3)
    for _ in range(2):
        torch.testing.assert_close(cosines(model, inputs), expected)


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
def test_a_hook_that_changes_some_gradients_only() -> None:
    model = Scaled(lambda _: 1.0)
    inputs = torch.randn(6, 4)
    inputs[2] *= 50
    model.layer.weight.register_hook(lambda gradient: gradient.clamp(-1, 1))
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))


def test_weights_that_are_replaced_for_a_call_only() -> None:
    class Masked(Scaled):
        def __init__(self) -> None:
            super().__init__(lambda _: 1.0)
            self.register_buffer("mask", torch.ones(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            weights = {"weight": self.layer.weight * self.mask, "bias": self.layer.bias}
            return torch.func.functional_call(self.layer, weights, self.first(x).tanh())

    model, inputs = Masked(), torch.randn(5, 4)
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))
    model.mask[:2] = 0
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))


def test_another_model_in_the_same_scorer() -> None:
    def model(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ConvTranspose2d(2, 1, 3)).eval()

    images, references = torch.rand(4, 1, 6, 6), {"2.weight": torch.ones(2, 1, 3, 3)}
    scorer = Scorer(model(0), references, loss=squared_error)
    scorer.score(images)
    scorer.model = model(1)
    expected = Scorer(model(1), references, loss=squared_error).score(images)
    assert torch.equal(scorer.score(images).anomaly, expected.anomaly)


def test_a_complex_parameter_is_refused() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            return (x * self.weight).real

    with pytest.raises(ValueError, match="weight is complex"):
        per_sample_alignment(Complex(), loss, torch.randn(3, 4), {"weight": torch.ones(4, dtype=torch.complex64)})


def test_a_reference_that_vanishes_is_refused() -> None:
    tiny = torch.full((4, 4), 1e-60, dtype=torch.float64)
    model = Scaled(lambda _: 1.0)
    with pytest.raises(ValueError, match="too small for torch.float32"):
        per_sample_alignment(model, loss, torch.randn(3, 4), {"layer.weight": tiny})
    with pytest.raises(ValueError, match="too small for torch.float32"):
        Scorer(model, {"layer.weight": tiny})


class Attributes(dict[str, Any]):
    __getattr__ = dict.__getitem__


@pytest.mark.parametrize("holder", ["class", "instance"])
def test_a_dictionary_with_attributes_is_looked_at(holder: str) -> None:
    class Configured(Scaled):
        config = Attributes(factor=3.0)

    model = Configured(lambda model: model.config.factor)
    if holder == "instance":
        model.config = Attributes(factor=3.0)
    inputs = torch.randn(5, 4)
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))
    model.config["factor"] = 2.0
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
@pytest.mark.parametrize("length", [3, 2000])
def test_a_linked_list_is_looked_at_as_far_as_may_be(length: int) -> None:
    model = Scaled(lambda model: model.chain[0])
    chain: list[Any] = [3.0, None]
    for _ in range(length):
        chain = [3.0, chain]
    model.chain = chain
    inputs = torch.randn(5, 4)
    torch.testing.assert_close(cosines(model, inputs), by_loop(model, inputs))


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
def test_a_function_that_looks_at_the_mode_of_the_model_itself_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3))
    model[0].act = lambda x: x.relu() if model.training else x.tanh()
    model[0].forward = lambda x: model[0].act(nn.Conv2d.forward(model[0], x))
    scorer = Scorer(model, {"1.weight": torch.ones(2, 1, 3, 3)}, loss=squared_error)
    images = torch.rand(3, 1, 6, 6)
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        scorer.score(images)
    model.eval()
    scorer.score(images)
