from __future__ import annotations

import functools
import gc
import sys
import time
import types
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import per_sample_alignment
from gradcon_ext.alignment.proofs import Proof, proofs_of

Loss = Callable[[Tensor, Tensor], Tensor]
CASE = "a case"


def loss_of(centered: bool, output: Tensor, targets: Tensor) -> Tensor:
    """Of single samples, or of samples that influence each other."""
    difference = output - targets
    return (difference - difference.mean(0) if centered else difference).square().sum(1)


def by_closure(centered: bool) -> Loss:
    return lambda output, targets: loss_of(centered, output, targets)


def by_default(centered: bool) -> Loss:
    return lambda output, targets, c=centered: loss_of(c, output, targets)


def by_keyword_default(centered: bool) -> Loss:
    return lambda output, targets, *, c=centered: loss_of(c, output, targets)


def by_attribute(centered: bool) -> Loss:
    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return loss_of(loss.centered, output, targets)

    loss.centered = centered
    return loss


CODE = compile("def loss(output, targets): return loss_of(CENTERED, output, targets)", "somewhere", "exec")


def by_namespace(centered: bool) -> Loss:
    namespace = {"loss_of": loss_of, "CENTERED": centered}
    exec(CODE, namespace)
    return namespace["loss"]


def by_sign_of_zero(centered: bool) -> Loss:
    zero = -0.0 if centered else 0.0
    return lambda output, targets: loss_of(str(zero) == "-0.0", output, targets)


def by_partial(centered: bool) -> Loss:
    return functools.partial(loss_of, centered)


class Instance:
    def __init__(self, centered: bool) -> None:
        self.centered = centered

    def __call__(self, output: Tensor, targets: Tensor) -> Tensor:
        return loss_of(self.centered, output, targets)


def by_method(centered: bool) -> Loss:
    return Instance(centered).__call__


LOSSES = {
    "closure": by_closure,
    "default": by_default,
    "keyword default": by_keyword_default,
    "attribute of the function": by_attribute,
    "namespace": by_namespace,
    "sign of a zero": by_sign_of_zero,
    "partial": by_partial,
    "instance": Instance,
    "method": by_method,
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_proven_of_a_loss_is_not_taken_for_its_like(name: str) -> None:
    model, inputs, references = nn.Linear(6, 6), torch.rand(5, 6), {"weight": torch.rand(6, 6)}
    per_sample_alignment(model, LOSSES[name](False), inputs, references)
    with pytest.raises(ValueError, match="samples influence each other"):
        per_sample_alignment(model, LOSSES[name](True), inputs, references)


@pytest.mark.parametrize("name", ["closure", "default", "keyword default", "partial", "sign of a zero"])
def test_a_loss_made_anew_is_the_same(name: str) -> None:
    model, proof = nn.Linear(2, 2), Proof()
    proofs = proofs_of(model).passes
    proofs.keep(CASE, LOSSES[name](False), proof)
    assert proofs.find(CASE, LOSSES[name](False)) is proof
    assert proofs.find(CASE, LOSSES[name](True)) is None


def test_no_other_loss_takes_the_place_of_one_that_has_a_proof() -> None:
    model = nn.Linear(2, 2)
    proofs = proofs_of(model).passes
    for round in range(100):
        loss = types.SimpleNamespace()  # of the same size each time, so memory that is free is used again
        assert proofs.find(CASE, loss) is None, round
        proofs.keep(CASE, loss, Proof())


@pytest.mark.parametrize("loss_refers_to_it", [False, True])
def test_a_loss_that_is_a_module_does_not_live_for_its_proof(loss_refers_to_it: bool) -> None:
    model, loss = nn.Linear(2, 2), nn.MSELoss()
    loss.model = model if loss_refers_to_it else None
    proofs_of(model).passes.keep(CASE, loss, Proof())
    dead = weakref.ref(loss)
    del loss
    gc.collect()
    assert dead() is None


def test_a_model_that_has_changed_displaces_no_other() -> None:
    models = [nn.Linear(2, 2) for _ in range(16)]
    first = [proofs_of(model) for model in models]
    models[-1].eval()
    assert proofs_of(models[-1]) is not first[-1]
    assert [proofs_of(model) for model in models[:-1]] == first[:-1]
    further = nn.Linear(2, 2)
    proofs_of(further)
    assert proofs_of(models[1]) is first[1]
    assert proofs_of(models[0]) is not first[0]


def test_threads_with_more_models_than_are_kept() -> None:
    loss = by_closure(False)

    def work(thread: int) -> int:
        models = [nn.Linear(2, 2) for _ in range(12)]
        found, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end:
            for index, model in enumerate(models):
                own = Proof(as_it_is=f"{thread} {id(model)}")
                proofs_of(model).passes.keep(CASE, loss, own)
                known = proofs_of(model).passes.find(CASE, loss)  # Unless another thread displaced it meanwhile.
                assert known in (None, own)
                found += known is not None
                models[index] = nn.Linear(2, 2) if index % 5 == 0 else model
        return found

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(work, range(4))) > 0
    finally:
        sys.setswitchinterval(interval)
