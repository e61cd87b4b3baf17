"""What does it cost that a fast path is verified on first use, and a model compared with what it was at each call?"""

from __future__ import annotations

from benchmarks.scorers import FUSED, fused_scorer
from gradcon_ext import Trainer
from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.objective import Objective


def test_comparison_at_each_call(compare, setup) -> None:
    scorer = fused_scorer(setup)
    fingerprint = Fingerprint(setup.model, (squared_error, scorer.layers))
    ratio = compare(
        fingerprint.is_current,
        lambda: scorer.score(setup.images[:1]),
        question="comparison of a model's structure with what it was",
        name="one comparison",
        baseline_name="score of a single image",
        samples=1,
        rounds=200,
    )
    assert ratio <= 0.1


def test_first_score(compare, setup) -> None:
    scorer = fused_scorer(setup)
    images = setup.images[:512]
    ratio = compare(
        lambda: fused_scorer(setup).score(images),
        lambda: scorer.score(images),
        question="first score of 512 images, with tracing and verification",
        name=FUSED,
        baseline_name="a later one",
        samples=len(images),
    )
    assert ratio <= 10


def test_first_step(compare, setup) -> None:
    def new_objective() -> Objective:
        model = ConvAutoencoder(3)
        weights = {name: layer.weight for name, layer in constrained_layers(model).items()}
        return Objective(model, model.loss, GradientConstraint(weights), (3, 28, 28))

    images = setup.images[:64]
    known = new_objective()
    ratio = compare(
        lambda: new_objective().forward(images),
        lambda: known.forward(images),
        question="first step of a training, with tracing and verification",
        name=f"{FUSED.replace('Scorer', Trainer.__name__)}",
        baseline_name="a later one",
        samples=len(images),
    )
    assert ratio <= 30
