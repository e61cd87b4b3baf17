"""How long does a whole score take, from image to anomaly score?"""

from __future__ import annotations

import pytest
import torch

from benchmarks.competitors import forward, hooks_unfold_bmm, image_at_a_time, vmap_grad
from benchmarks.scorers import ANY_MODEL, FUSED, any_model_scorer, fused_scorer
from benchmarks.workload import Workload, autoencoder
from gradcon_ext import per_sample_alignment
from gradcon_ext.losses import squared_error

QUESTION = "complete score: forward, loss, backward, alignment"
BASELINE = "torch's forward pass"


def check_same_scores(scores: torch.Tensor, setup) -> None:
    ours = fused_scorer(setup).score(setup.images[: len(scores)]).anomaly
    torch.testing.assert_close(scores, ours, rtol=1e-4, atol=1e-5)


def against_forward(compare, setup, contender, name: str, batch: int, rounds: int = 15) -> float:
    return compare(
        contender,
        lambda: forward(setup.model, setup.images, 512),
        question=QUESTION,
        name=f"{name}, batch {batch}",
        baseline_name=f"{BASELINE}, batch 512",
        samples=512,
        rounds=rounds,
    )


@pytest.mark.parametrize("batch", [32, 64, 128, 512])
def test_forward(compare, setup, batch) -> None:
    against_forward(compare, setup, lambda: forward(setup.model, setup.images, batch), BASELINE, batch)


@pytest.mark.parametrize("batch", [128, 256, 512])
def test_fused(compare, setup, batch) -> None:
    scorer = fused_scorer(setup)
    ratio = against_forward(compare, setup, lambda: scorer.score(setup.images, batch_size=batch), FUSED, batch)
    assert batch < 512 or ratio <= 1


@pytest.mark.parametrize("batch", [128, 256, 512])
def test_any_model(compare, setup, batch) -> None:
    scorer = any_model_scorer(setup)
    check_same_scores(scorer.score(setup.images[:40]).anomaly, setup)
    against_forward(compare, setup, lambda: scorer.score(setup.images, batch_size=batch), ANY_MODEL, batch)


@pytest.mark.parametrize("scorer_of", [fused_scorer, any_model_scorer])
@pytest.mark.parametrize("batch", [32, 64, 128])
def test_against_vmap_grad(compare, setup, scorer_of, batch) -> None:
    check_same_scores(vmap_grad(setup.model, setup.references, setup.images[:40], batch), setup)
    scorer = scorer_of(setup)
    ratio = compare(
        lambda: scorer.score(setup.images, batch_size=512),
        lambda: vmap_grad(setup.model, setup.references, setup.images, batch),
        question=QUESTION,
        name=f"{FUSED if scorer_of is fused_scorer else ANY_MODEL}, batch 512",
        baseline_name=f"torch.func.vmap(grad), batch {batch}",
        samples=512,
        rounds=5,
    )
    assert ratio <= (1 / 4 if scorer_of is fused_scorer else 1)


def align(setup, images: torch.Tensor):
    """The any-model API itself, with torch's own forward and backward pass."""

    def squared_errors(output: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
        return squared_error(output, those).reconstruction

    return per_sample_alignment(setup.model, squared_errors, images, setup.references, batch_size=512)


def check_same_cosines(setup) -> None:
    few = setup.images[:40]
    cosines = torch.stack(list(align(setup, few).cosine.values()), 1)
    torch.testing.assert_close(cosines, fused_scorer(setup).score(few).cosine, rtol=1e-4, atol=1e-5)


LAYOUTS = {
    "contiguous": (torch.contiguous_format, torch.contiguous_format),
    "decoder in channels_last": (torch.contiguous_format, torch.channels_last),
    "all in channels_last": (torch.channels_last, torch.channels_last),
}
"""How a user may lay weights in memory: images and encoder, decoder."""


def in_layout(layout: str) -> Workload:
    of_encoder, of_decoder = LAYOUTS[layout]
    workload = autoencoder(layout=of_encoder)
    workload.model.decoder.to(memory_format=of_decoder)
    return workload


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [32, 64, 128])
def test_any_model_api_against_vmap_grad(compare, batch, layout) -> None:
    """Ours in the layout that is best for it, `vmap(grad)` in each, since its best must be beaten."""
    layout_of_ours = "decoder in channels_last"
    ours, theirs = in_layout(layout_of_ours), in_layout(layout)
    check_same_cosines(ours)
    ratio = compare(
        lambda: align(ours, ours.images),
        lambda: vmap_grad(theirs.model, theirs.references, theirs.images, batch),
        question=QUESTION,
        name=f"gradcon_ext.per_sample_alignment, {layout_of_ours}, batch 512",
        baseline_name=f"torch.func.vmap(grad), {layout}, batch {batch}",
        samples=512,
    )
    assert ratio <= 1 / 3


def test_any_model_api_against_the_published_loop(compare, setup) -> None:
    check_same_cosines(setup)
    ratio = compare(
        lambda: align(setup, setup.images),
        lambda: image_at_a_time(setup.model, setup.references, setup.images),
        question=QUESTION,
        name="gradcon_ext.per_sample_alignment, batch 512",
        baseline_name="the published loop, one image at a time",
        samples=512,
        rounds=3,
    )
    assert ratio <= 1 / 12


@pytest.mark.parametrize("batch", [16, 32, 64])
def test_hooks_unfold_bmm(compare, setup, batch) -> None:
    check_same_scores(hooks_unfold_bmm(setup.model, setup.references, setup.images[:40], batch), setup)

    def contender() -> None:
        hooks_unfold_bmm(setup.model, setup.references, setup.images, batch)

    against_forward(compare, setup, contender, "hooks + unfold + bmm", batch, rounds=5)


def test_against_the_published_loop(compare, setup) -> None:
    check_same_scores(image_at_a_time(setup.model, setup.references, setup.images[:40]), setup)
    scorer = fused_scorer(setup)
    ratio = compare(
        lambda: scorer.score(setup.images, batch_size=512),
        lambda: image_at_a_time(setup.model, setup.references, setup.images),
        question=QUESTION,
        name=f"{FUSED}, batch 512",
        baseline_name="the published loop, one image at a time",
        samples=512,
        rounds=3,
    )
    assert ratio <= 1 / 25
