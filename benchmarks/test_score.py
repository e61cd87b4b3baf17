"""How long does a whole score take, from image to anomaly score?"""

from __future__ import annotations

import pytest
import torch

from benchmarks.competitors import forward, hooks_unfold_bmm, image_at_a_time, vmap_grad
from gradcon_ext import Scorer

QUESTION = "complete score: forward, loss, backward, alignment"
BASELINE = "torch's forward pass"


def check_same_scores(scores: torch.Tensor, setup) -> None:
    ours = Scorer(setup.model, setup.references).score(setup.images[: len(scores)]).anomaly
    torch.testing.assert_close(scores, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [32, 64, 128, 512])
def test_forward(compare, setup, batch) -> None:
    compare(
        lambda: forward(setup.model, setup.images, batch),
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=f"torch's forward pass alone, batch {batch}",
        baseline_name=f"{BASELINE}, batch 512",
        samples=512,
    )


@pytest.mark.parametrize("batch", [128, 256, 512])
def test_gradcon_ext(compare, setup, batch) -> None:
    scorer = Scorer(setup.model, setup.references)
    compare(
        lambda: scorer.score(setup.images, batch_size=batch),
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=f"gradcon_ext.Scorer, batch {batch}",
        baseline_name=BASELINE,
        samples=512,
    )


@pytest.mark.parametrize("batch", [32, 64])
def test_gradcon_ext_against_vmap_grad(compare, setup, batch) -> None:
    scorer = Scorer(setup.model, setup.references)
    compare(
        lambda: scorer.score(setup.images, batch_size=256),
        lambda: vmap_grad(setup.model, setup.references, setup.images, batch),
        question=QUESTION,
        name="gradcon_ext.Scorer, batch 256",
        baseline_name=f"torch.func.vmap(grad), batch {batch}",
        samples=512,
        rounds=7,
    )


def test_gradcon_ext_against_the_published_loop(compare, setup) -> None:
    scorer = Scorer(setup.model, setup.references)
    ratio = compare(
        lambda: scorer.score(setup.images, batch_size=256),
        lambda: image_at_a_time(setup.model, setup.references, setup.images),
        question=QUESTION,
        name="gradcon_ext.Scorer, batch 256",
        baseline_name="the published loop, one image at a time",
        samples=512,
        rounds=3,
    )
    assert ratio <= 1 / 12


@pytest.mark.parametrize("batch", [32, 64, 128])
def test_vmap_grad(compare, setup, batch) -> None:
    check_same_scores(vmap_grad(setup.model, setup.references, setup.images[:40], batch), setup)
    compare(
        lambda: vmap_grad(setup.model, setup.references, setup.images, batch),
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=f"torch.func.vmap(grad), batch {batch}",
        baseline_name=BASELINE,
        samples=512,
        rounds=5,
    )


@pytest.mark.parametrize("batch", [16, 32, 64])
def test_hooks_unfold_bmm(compare, setup, batch) -> None:
    check_same_scores(hooks_unfold_bmm(setup.model, setup.references, setup.images[:40], batch), setup)
    compare(
        lambda: hooks_unfold_bmm(setup.model, setup.references, setup.images, batch),
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=f"hooks + unfold + bmm, batch {batch}",
        baseline_name=BASELINE,
        samples=512,
        rounds=5,
    )


def test_image_at_a_time(compare, setup) -> None:
    check_same_scores(image_at_a_time(setup.model, setup.references, setup.images[:40]), setup)
    some = setup.images[:64]
    compare(
        lambda: image_at_a_time(setup.model, setup.references, some),
        lambda: forward(setup.model, some, 64),
        question=QUESTION,
        name="published loop, one image at a time",
        baseline_name=f"{BASELINE}, batch 64",
        samples=64,
        rounds=5,
    )
