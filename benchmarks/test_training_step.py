"""How long does a training step take, with the gradient constraint and without?"""

from __future__ import annotations

import torch

from benchmarks.competitors import plain_step, published_step
from gradcon_ext import GradientConstraint
from gradcon_ext.models import ConvAutoencoder

QUESTION = "training step, Adam included"
BATCH = 64


def ours(model: ConvAutoencoder, optimizer: torch.optim.Optimizer, constraint: GradientConstraint, images) -> None:
    optimizer.zero_grad()
    loss = model.loss(model(images), images).total.mean()
    constraint.backward(loss)
    optimizer.step()


def run(compare, setup, contender, name: str, baseline, baseline_name: str) -> None:
    images = setup.images[:BATCH]
    compare(
        lambda: contender(images),
        lambda: baseline(images),
        question=QUESTION,
        name=name,
        baseline_name=baseline_name,
        samples=BATCH,
    )


def steps(setup):
    """The three steps, each with a model and an optimiser of its own."""

    def fresh() -> tuple[ConvAutoencoder, torch.optim.Optimizer]:
        model = ConvAutoencoder(channels=3)
        model.load_state_dict(setup.model.state_dict())
        return model, torch.optim.Adam(model.parameters(), lr=1e-3)

    model, optimizer = fresh()
    constraint = GradientConstraint({name: model.get_parameter(name) for name in setup.references})
    published_model, published_optimizer = fresh()
    references = {name: reference.clone() for name, reference in setup.references.items()}
    plain_model, plain_optimizer = fresh()
    return (
        lambda images: ours(model, optimizer, constraint, images),
        lambda images: published_step(published_model, published_optimizer, references, images),
        lambda images: plain_step(plain_model, plain_optimizer, images),
    )


def test_gradcon_ext_against_the_published_loop(compare, setup) -> None:
    constrained, published, _ = steps(setup)
    run(compare, setup, constrained, "gradcon_ext.GradientConstraint", published, "the published loop")


def test_gradcon_ext_against_a_plain_step(compare, setup) -> None:
    constrained, _, plain = steps(setup)
    run(compare, setup, constrained, "gradcon_ext.GradientConstraint", plain, "a step without constraint")


def test_published_loop_against_a_plain_step(compare, setup) -> None:
    _, published, plain = steps(setup)
    run(compare, setup, published, "published loop", plain, "a step without constraint")
