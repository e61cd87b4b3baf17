"""Samples that influence each other are refused, also where they do so in some batches only."""

from __future__ import annotations

import random
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradcon_ext import per_sample_alignment


class Then(nn.Module):
    """A layer, and something that is done with its output."""

    def __init__(self, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.layer(x))


def loss(output: Tensor, inputs: Tensor) -> Tensor:
    return (output - inputs).square().sum(1)


def align(model: Then, inputs: Tensor) -> Tensor:
    return per_sample_alignment(model, loss, inputs, {"layer.weight": torch.ones(4, 4)}).cosine["layer.weight"]


def mix_two_in_the_middle(h: Tensor) -> Tensor:
    mixed = h.clone()
    mixed[2:3] = h[2:3] + h[3:4]
    return mixed


def by_first_byte(h: Tensor) -> Tensor:
    return h - h.mean(0) if h.untyped_storage()[3] > 64 else h


# Each lets a batch of small numbers alone.
IN_SOME_BATCHES: dict[str, Callable[[Tensor], Tensor]] = {
    "largest of all": lambda h: h / h.abs().amax().clamp(min=1),
    "largest of each feature": lambda h: h / h.abs().amax(0).clamp(min=1),
    "largest of each feature, kept": lambda h: h / h.abs().amax(dim=-2, keepdim=True).clamp(min=1),
    "norm": lambda h: h / (h.norm() / 10).clamp(min=1),
    "mean": lambda h: torch.where(h.abs().mean() > 1, h - h.mean(0, keepdim=True), h),
    "sorted by size": lambda h: h[h.abs().amax(1).floor().argsort(stable=True)],
    "any": lambda h: torch.where((h > 3).any(), h.flip(0), h),
}


def test_samples_in_the_middle_that_mix_are_refused() -> None:
    with pytest.raises(ValueError, match="samples influence each other"):
        align(Then(mix_two_in_the_middle), torch.randn(8, 4))


@pytest.mark.parametrize("name", IN_SOME_BATCHES)
def test_samples_that_mix_later_are_refused_then(name: str) -> None:
    model, plain = Then(IN_SOME_BATCHES[name]), Then(lambda h: h)
    small = torch.rand(7, 4) / 10
    torch.testing.assert_close(align(model, small), align(plain, small))
    with pytest.raises(ValueError, match="samples influence each other"):
        align(model, 1000 * torch.randn(7, 4))
    torch.testing.assert_close(align(model, small), align(plain, small))


def test_numbers_that_are_read_from_memory_are_read_at_each_call() -> None:
    small, large = torch.full((5, 4), 1e-30), torch.randn(5, 4)
    model = Then(by_first_byte)
    model.layer.bias.data.zero_()
    results = []
    for inputs in (small, large, -large):
        try:
            results.append(align(model, inputs))
        except ValueError as error:
            assert "samples influence each other" in str(error)
    assert len(results) < 3


def test_reductions_of_each_sample_are_proven_once() -> None:
    passes: SimpleQueue[int] = SimpleQueue()  # A list would be compared, and change what is proven.

    class Counted(Then):
        def forward(self, x: Tensor) -> Tensor:
            passes.put(len(x))
            return super().forward(x)

    model = Counted(lambda h: h / h.abs().amax(1, keepdim=True) - h.mean(-1, keepdim=True))
    inputs = torch.randn(7, 4)
    align(model, inputs)
    first = passes.qsize()
    align(model, inputs)
    assert passes.qsize() == first + 1


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
def test_a_checkpointed_layer_is_aligned() -> None:
    class Checkpointed(Then):
        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(super().forward, x, use_reentrant=False)

    inputs = torch.randn(5, 4)
    torch.testing.assert_close(align(Checkpointed(torch.tanh), inputs), align(Then(torch.tanh), inputs))


@pytest.mark.parametrize("kind", [random.Random, np.random.default_rng, np.random.RandomState])
def test_a_generator_of_its_own_is_refused(kind: Callable[[int], Any]) -> None:
    class Drawing(Then):
        def __init__(self) -> None:
            super().__init__(torch.tanh)
            self.generator = kind(0)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float(self.generator.random())

    with pytest.raises(ValueError, match="draws random numbers"):
        align(Drawing(), torch.randn(5, 4))
