from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import loss_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.reproduce.variants import published_checkpoint, published_epochs, with_renewed_references


def new_detector(seed, model=ConvAutoencoder):
    torch.manual_seed(seed)
    network = model(1, 8, 4).eval()
    names = [name for name, _ in network.named_parameters() if "decoder" in name and "weight" in name]
    return Detector(network, {name: torch.randn_like(network.get_parameter(name)) for name in names}, count=seed)


@pytest.mark.parametrize("model", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_references_become_the_gradient_of_the_mean_loss(model):
    detector = new_detector(0, model)
    before = copy.deepcopy(detector.references)
    images = np.random.default_rng(0).integers(0, 256, (700, 1, 8, 8), dtype=np.uint8)  # more than a batch
    result = with_renewed_references(detector, images)
    pixels = torch.from_numpy(images).float() / 255
    loss = loss_of(detector.model)(detector.model(pixels), pixels).total.mean()
    weights = [detector.model.get_parameter(name) for name in detector.references]
    for name, gradient in zip(detector.references, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(result.references[name], gradient, rtol=1e-4, atol=1e-6)
        assert torch.equal(detector.references[name], before[name])


def attempt_of(objectives):
    """The history of a run with these validation objectives."""
    return [
        {"epoch": epoch, "best": objective < min(objectives[: epoch - 1], default=np.inf)}
        for epoch, objective in enumerate(objectives, 1)
    ]


def published_loop(objectives):
    """What is tested in the end, in the words of the paper's code: epochs from 0, the best of all but saved seldom."""
    best, tested = np.inf, None
    for epoch, objective in enumerate(objectives):
        is_best, best = objective < best, min(best, objective)
        if is_best and (epoch % 5 == 0 or epoch == len(objectives) - 1):
            tested = epoch + 1
    return tested


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        ([5.0], 1),
        ([5.0, 4.0], 2),  # the last
        ([5.0, 4.0, 6.0], 1),  # the second is not saved
        ([5.0, 3.0, 6.0, 6.0, 6.0, 4.0, 6.0], 1),  # the sixth is better than what was saved, but not than the second
        ([5.0, 4.5, 6.0, 6.0, 6.0, 4.0, 3.0, 6.0], 6),
    ],
)
def test_the_checkpoint_that_the_published_code_tests(objectives, expected):
    assert published_checkpoint(attempt_of(objectives), len(objectives)) == expected == published_loop(objectives)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_the_checkpoint_is_that_of_the_published_loop(objectives):
    found = published_checkpoint(attempt_of(objectives), len(objectives))
    assert found == published_loop(objectives)
    assert found in published_epochs(len(objectives)) or found == len(objectives)


def test_epochs_of_a_longer_training_do_not_count():
    assert published_checkpoint(attempt_of([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), epochs=3) == 3
