"""What a fingerprint notices, and what it does not mind."""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.losses import squared_error

FACTOR = 2.0


class Settings:
    def __init__(self) -> None:
        self.slope = 0.1


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.hidden = [nn.LeakyReLU(0.1), nn.Sequential(nn.ELU())]
        self.scale = functools.partial(scaled, [3.0])
        self.options = types.SimpleNamespace(slope=0.1)
        self.settings = Settings()
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
    "an attribute less": lambda m: delattr(m, "constant"),
    "other attributes of a module": lambda m: setattr(
        m.hidden[0], "__dict__", {**vars(m.hidden[0]), "negative_slope": 0.3}
    ),
    "other attributes of the model": lambda m: setattr(m, "__dict__", {**vars(m), "hidden": [nn.ReLU()]}),
    "other attributes of an object": lambda m: setattr(m.settings, "__dict__", {"slope": 0.3}),
    "other attributes of an object of a library": lambda m: setattr(
        m.sampler, "__dict__", {**vars(m.sampler), "batch_size": 1}
    ),
    "parameters in another order": lambda m: m.layer._parameters.update(weight=m.layer._parameters.pop("weight")),
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


SETTINGS: dict[str, float] = {"factor": 2.0}


def reads(held: Any, item: Callable[[Any], float]) -> Callable[..., Tensor]:
    return lambda module, arguments, output: output * item(held)


def with_default(module: nn.Module, arguments: object, output: Tensor, held: list[float] = [2.0]) -> Tensor:  # noqa: B006
    held.append(0.0)
    return output * held[0]


def from_a_global(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
    return output * SETTINGS.get("factor", 1.0)


def from_a_loop() -> tuple[Callable[..., Tensor], Callable[[], None]]:
    held = [2.0]

    def hook(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        held.append(1.0)
        for factor in held:
            output = output * factor
        return output

    return hook, lambda: held.__setitem__(0, 3.0)


def from_an_alias() -> tuple[Callable[..., Tensor], Callable[[], None]]:
    held = {"factor": 2.0}

    def hook(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        settings = held
        return output * settings["factor"]

    return hook, lambda: held.update(factor=3.0)


def from_a_function_inside() -> tuple[Callable[..., Tensor], Callable[[], None]]:
    held = [2.0]

    def hook(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        return output * sum(held[position] for position in range(1))

    return hook, lambda: held.__setitem__(0, 3.0)


LIST, MAPPING, SET = [2.0], {"factor": 2.0}, {2.0}
HOOKS_THAT_READ: dict[str, tuple[Callable[..., Tensor], Callable[[], object]]] = {
    "item of a list": (reads(LIST, lambda held: held[0]), lambda: LIST.__setitem__(0, 3.0)),
    "item of a dict": (reads(MAPPING, lambda held: held["factor"]), lambda: MAPPING.update(factor=3.0)),
    "length of a set": (reads(SET, len), lambda: SET.add(1.0)),
    "default": (with_default, lambda: with_default.__defaults__[0].__setitem__(0, 3.0)),
    "global": (from_a_global, lambda: SETTINGS.update(factor=3.0)),
    "loop": from_a_loop(),
    "alias": from_an_alias(),
    "function inside": from_a_function_inside(),
}


@pytest.mark.parametrize("name", HOOKS_THAT_READ)
def test_what_a_hook_reads_from_a_container_is_compared(name: str) -> None:
    model = Model()
    hook, change = HOOKS_THAT_READ[name]
    model.layer.register_forward_hook(hook)
    fingerprint = Fingerprint(model)
    assert fingerprint.is_current()
    change()
    assert not fingerprint.is_current()


COLLECTED: dict[Any, Any] = {}


def collects_by_name(module: nn.Module, arguments: object, output: Tensor) -> None:
    COLLECTED["layer"] = output


def collects_by_module(module: Any, arguments: object, output: Tensor) -> None:
    COLLECTED[module.in_features] = output.detach()
    COLLECTED.update(last=output)


def collects_in_a_function(module: nn.Module, arguments: object, output: Tensor) -> None:
    output.register_hook(lambda gradient: COLLECTED.update(gradient=gradient))
    COLLECTED.update(output=output)


HOOKS_THAT_COLLECT = (collects_by_name, collects_by_module, collects_in_a_function)


@pytest.mark.parametrize("collect", HOOKS_THAT_COLLECT)
def test_what_a_hook_only_collects_is_no_change(collect: Callable[..., None]) -> None:
    model = Model()
    model.layer.register_forward_hook(collect)
    fingerprint = Fingerprint(model)
    model(torch.rand(3, 4))
    assert COLLECTED
    COLLECTED.clear()
    assert fingerprint.is_current()


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
