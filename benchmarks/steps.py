"""Training steps, Adam included, each with a model and an optimiser of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.competitors import plain_step, published_step
from benchmarks.scorers import loss_of_ones_own
from benchmarks.workload import Workload
from gradcon_ext import GradientConstraint
from gradcon_ext.losses import Loss, squared_error
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.training.objective import Objective

FUSED = "gradcon_ext.Objective, fused"
ANY_MODEL = "gradcon_ext.Objective, any-model path"
PUBLISHED = "the published loop"
PLAIN = "a step without constraint"


def steps(workload: Workload, images: Tensor) -> dict[str, Callable[[], None]]:
    """The steps by name; each call takes one more with these images."""
    published_model, published_optimizer = _fresh(workload)
    references = {name: reference.clone() for name, reference in workload.references.items()}
    return {
        FUSED: _ours(workload, images, squared_error, "fused chain"),
        ANY_MODEL: _ours(workload, images, loss_of_ones_own, "any model"),
        PUBLISHED: lambda: published_step(published_model, published_optimizer, references, images),
        PLAIN: step_without_constraint(workload),
    }


def step_without_constraint(workload: Workload) -> Callable[[], None]:
    model, optimizer = _fresh(workload)
    return lambda: plain_step(model, optimizer, workload.images)


def our_step(workload: Workload, images: Tensor) -> Callable[[], None]:
    """The step of the trainer, by whichever engine it chooses."""
    return _ours(workload, images, squared_error, None)


def _ours(workload: Workload, images: Tensor, loss: Loss, engine: str | None) -> Callable[[], None]:
    model, optimizer = _fresh(workload)
    constraint = GradientConstraint({name: model.get_parameter(name) for name in workload.references})
    objective = Objective(model, loss, constraint, tuple(images.shape[1:]))
    assert engine in (None, objective.engine.name), objective.engine.reason

    def step() -> None:
        optimizer.zero_grad()
        objective.forward(images)
        objective.backward()
        optimizer.step()

    step()  # The first has no references yet, and no constraint.
    return step


def _fresh(workload: Workload) -> tuple[ConvAutoencoder, torch.optim.Optimizer]:
    model = copy.deepcopy(workload.model).train()
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)
