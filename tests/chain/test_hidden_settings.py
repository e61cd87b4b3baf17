"""A fingerprint compares settings wherever code reads them, and says where it cannot."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from torch import Tensor, nn

from gradcon_ext.chain.chain import NotAChain
from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import squared_error
from support.hidden_settings import READ_FROM_TENSORS, UNSEEN, WATCHED, Setting, Switched
from support.hostile_chains import SHAPE

GENERATOR, RANDOM = np.random.default_rng(0), Random(0)
SCALES = {"conv": 1.0}


@pytest.mark.parametrize("setting", WATCHED.values(), ids=WATCHED)
def test_a_changed_setting_is_noticed(setting: Setting) -> None:
    model = Switched(setting.read)
    assert not model.read()
    fingerprint = Fingerprint(model)
    assert fingerprint.unseen is None
    assert fingerprint.is_current()
    try:
        setting.change()
        assert model.read()
        assert not fingerprint.is_current()
    finally:
        setting.reset()


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_compared_is_told_and_is_no_chain(name: str) -> None:
    model = Switched(UNSEEN[name].read)
    unseen = Fingerprint(model).unseen
    assert unseen is not None
    assert name.split()[-1] in unseen or name == "itertools"
    with pytest.raises(NotAChain, match=unseen.split()[-1]):
        trace_chain(model, [], squared_error, SHAPE)


@pytest.mark.parametrize(
    "draw",
    [
        *(random.random, lambda: random.random(), Random(0).random, lambda: RANDOM.random()),
        *(np.random.rand, lambda: np.random.rand(), np.random.default_rng(0).random, lambda: GENERATOR.random()),
    ],
)
def test_a_model_that_draws_is_no_chain(draw: Callable[[], float]) -> None:
    with pytest.raises(NotAChain, match=r"random"):
        trace_chain(Switched(lambda: draw() < 0.1), [], squared_error, SHAPE)


def test_methods_that_no_forward_runs_do_not_count() -> None:
    class WithMore(Switched):
        def save(self) -> None:
            with open("weights") as file:
                file.write(str(time.time()))

    class Uses(WithMore):
        def forward(self, x: Tensor) -> Tensor:
            self.save()
            return super().forward(x)

    assert Fingerprint(WithMore(lambda: False)).unseen is None
    assert Fingerprint(Uses(lambda: False)).unseen is not None


def test_an_attribute_named_like_a_function_that_cannot_be_followed_is_an_attribute() -> None:
    class Named(Switched):
        id = 0

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if self.id == 0 else x

    class Identified(Switched):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if id(self) else x

    assert Fingerprint(Named(lambda: False)).unseen is None
    assert Fingerprint(Identified(lambda: False)).by_identity is not None


def test_a_method_that_a_library_runs_counts() -> None:
    class Own(nn.Conv2d):
        def _conv_forward(self, *arguments: Tensor | None) -> Tensor:
            return super()._conv_forward(*arguments) * SCALES["conv"]

    fingerprint = Fingerprint(Own(1, 1, 1))
    SCALES["conv"] = 2.0
    try:
        assert not fingerprint.is_current()
    finally:
        SCALES["conv"] = 1.0


@pytest.mark.parametrize("name", READ_FROM_TENSORS)
def test_a_model_that_reads_numbers_of_a_tensor_is_no_chain(name: str) -> None:
    with pytest.raises(NotAChain, match=r"a tensor \(1,\)"):
        trace_chain(Switched(READ_FROM_TENSORS[name].read), [], squared_error, SHAPE)
