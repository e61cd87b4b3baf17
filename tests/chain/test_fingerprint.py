"""What a fingerprint notices, and what it does not mind."""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.losses import squared_error

FACTOR = 2.0


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.hidden = [nn.LeakyReLU(0.1), nn.Sequential(nn.ELU())]
        self.scale = functools.partial(scaled, [3.0])
        self.options = types.SimpleNamespace(slope=0.1)
        self.sampler = torch.utils.data.BatchSampler([1, 2], 2, False)
        self.constant = torch.ones(3)
        nn.init.constant_(self.layer.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(self.hidden[0](self.layer(x)))


def scaled(factors: list[float], x: Tensor) -> Tensor:
    return x * factors[0] * FACTOR


CHANGES: dict[str, Callable[[Model], object]] = {
    "setting of a hidden module": lambda m: setattr(m.hidden[0], "negative_slope", 0.3),
    "setting of a module in a hidden one": lambda m: setattr(m.hidden[1][0], "alpha", 0.3),
    "hook of a hidden module": lambda m: m.hidden[0].register_forward_hook(lambda *_: None),
    "mode of a hidden module": lambda m: m.hidden[0].eval(),
    "another hidden module": lambda m: m.hidden.__setitem__(0, nn.ReLU()),
    "what a partial holds": lambda m: m.scale.args[0].__setitem__(0, 4.0),
    "an option": lambda m: setattr(m.options, "slope", 0.3),
    "setting of an object of a library": lambda m: setattr(m.sampler, "batch_size", 1),
    "hook of a parameter": lambda m: m.layer.weight.register_hook(lambda g: g),
    "a hidden tensor's flag": lambda m: m.constant.requires_grad_(),
    "a frozen parameter": lambda m: m.layer.weight.requires_grad_(False),
    "a new attribute": lambda m: setattr(m, "other", 1),
    "a tensor of another shape": lambda m: setattr(m.layer.weight, "data", torch.ones(2, 4)),
    "class": lambda m: setattr(m, "__class__", type("Other", (Model,), {})),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name: str) -> None:
    model = Model()
    fingerprint = Fingerprint(model)
    assert fingerprint.is_current()
    CHANGES[name](model)
    assert not fingerprint.is_current()


def test_a_global_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    fingerprint = Fingerprint(model)
    monkeypatch.setattr(f"{__name__}.FACTOR", 3.0)
    assert not fingerprint.is_current()


def test_a_replaced_function_of_torch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    fingerprint = Fingerprint(model)
    monkeypatch.setattr(functional, "relu", lambda x: x)
    assert not fingerprint.is_current()


def test_what_a_librarys_function_closes_over_is_noticed() -> None:
    factors = [1.0]
    wrapped = functools.wraps(squared_error)(lambda output, images: squared_error(output * factors[0], images))
    assert wrapped.__module__.startswith("gradcon_ext")
    fingerprint = Fingerprint(wrapped)
    factors[0] = 2.0
    assert not fingerprint.is_current()


def test_what_a_hook_collects_is_no_change_but_what_it_closes_over_is() -> None:
    model, collected, factor = Model(), [], 2.0

    def collect(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        collected.append(output)
        return output * factor

    model.layer.register_forward_hook(collect)
    fingerprint = Fingerprint(model)
    model(torch.rand(3, 4))
    assert len(collected) == 1
    assert fingerprint.is_current()
    factor = 3.0
    assert not fingerprint.is_current()


def test_numbers_in_parameters_and_a_pass_are_no_change() -> None:
    model = Model()
    fingerprint = Fingerprint(model, squared_error)
    with torch.no_grad():
        model.layer.weight.mul_(2)
    model(torch.rand(3, 4)).sum().backward()
    torch.optim.Adam(model.parameters()).step()
    assert fingerprint.is_current()


def test_the_model_is_not_kept_alive_and_its_end_is_noticed() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    fingerprint, gone = Fingerprint(model), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert not fingerprint.is_current()
