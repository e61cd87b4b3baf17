from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines.autoregressive_novelty import (
    BINS,
    CODE,
    CodeDensity,
    NoveltyDetector,
    normalised,
    score,
)
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints


def test_a_component_depends_on_all_before_it_and_on_no_other():
    density = CodeDensity()
    weights = torch.randn(BINS)
    seen = torch.autograd.functional.jacobian(lambda code: density(code[None])[0] @ weights, torch.rand(CODE)) != 0
    assert torch.equal(seen, torch.ones(CODE, CODE, dtype=torch.bool).tril(-1))


def test_the_likelihood_is_that_of_the_bins_that_components_are_in():
    density, bins = CodeDensity(), torch.randint(0, BINS, (3, CODE))
    codes = (bins + 0.5) / BINS
    expected = -torch.log_softmax(density(codes), 2).gather(2, bins[:, :, None]).sum((1, 2))
    torch.testing.assert_close(density.negative_log_likelihood(codes), expected)


def test_both_ends_of_the_range_are_in_a_bin():
    ends = torch.stack((torch.zeros(CODE), torch.ones(CODE)))
    assert CodeDensity().negative_log_likelihood(ends).isfinite().all()


def test_the_encoder_learns_from_the_likelihood():
    model = NoveltyDetector((1, 8, 8))
    model.density.negative_log_likelihood(model.encoder(torch.rand(4, 1, 8, 8))).sum().backward()
    assert all(weight.grad.any() for weight in model.encoder.parameters())


def test_losses_are_brought_to_the_range_of_known_ones():
    known = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    losses = torch.tensor([[1.0, 5.0], [3.0, 6.0], [7.0, 4.0]])
    torch.testing.assert_close(normalised(losses, known), torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, -1.0]]))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 28, 28), (1, 9, 8)])
def test_the_reconstruction_has_the_shape_of_the_images(shape):
    model = NoveltyDetector(shape)
    images = torch.rand(2, *shape)
    codes = model.encoder(images)
    assert codes.shape == (2, CODE)
    assert 0 <= codes.min() <= codes.max() <= 1
    assert model.decoder(codes).shape == images.shape
    assert model(images).shape == (2, 2)


def test_damaged_images_score_higher():
    split = one_class_split(load("digits"), "0", seed=0)
    damaged = split.validation.copy()
    damaged[:, :, 2:6, 2:6] = 255 - damaged[:, :, 2:6, 2:6]
    images = np.concatenate([split.validation, damaged])
    intact, broken = np.split(score(split.train, split.validation, images, 0, 30, Checkpoints()), 2)
    assert (broken > intact).mean() > 0.9
    assert 0 <= intact.min() <= intact.max() <= 2


def test_images_too_small_are_refused():
    NoveltyDetector((3, 8, 8))
    with pytest.raises(ValueError, match=r"\(1, 1\).* 2 x 2"):
        NoveltyDetector((3, 7, 7))
