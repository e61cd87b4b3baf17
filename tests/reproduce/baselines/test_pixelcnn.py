from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.logistic import log_probability
from gradcon_ext.reproduce.baselines.pixelcnn import PixelCNN, score

HEIGHT, WIDTH = 4, 5


def seen_by(model, channels, row, column, colour):
    """Whether each number of an image has a part in the distribution of one of them, (H, W, C)."""
    images = torch.full((1, channels, HEIGHT, WIDTH), 100.0, requires_grad=True)
    parameters = model(images)[:, :, 0, colour, row, column]
    (gradient,) = torch.autograd.grad((parameters * torch.randn_like(parameters)).sum(), images)
    return (gradient[0] != 0).permute(1, 2, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_number_depends_on_all_before_it_and_on_no_other(channels):
    model = PixelCNN(channels)
    for row, column, colour in product(range(HEIGHT), range(WIDTH), range(channels)):
        place = (row * WIDTH + column) * channels + colour
        seen = seen_by(model, channels, row, column, colour).flatten()
        assert seen[:place].all()
        assert not seen[place:].any()


def test_all_images_together_have_probability_one():
    model = PixelCNN(1).double()
    with torch.no_grad():
        pairs = torch.cartesian_prod(torch.arange(256.0), torch.arange(256.0)).double()
        images = pairs.reshape(-1, 1, 1, 2)
        bits = torch.cat([model.bits_per_dimension(batch) for batch in images.split(4096)])
    assert torch.exp2(-2 * bits).sum().item() == pytest.approx(1)


def test_bits_are_those_of_the_mean_number():
    model, images = PixelCNN(3), torch.randint(0, 256, (2, 3, HEIGHT, WIDTH)).float()
    expected = -log_probability(images, model(images)).sum((1, 2, 3)) / np.log(2) / (3 * HEIGHT * WIDTH)
    torch.testing.assert_close(model.bits_per_dimension(images), expected)


def test_damaged_images_need_more_bits():
    split = one_class_split(load("digits"), "0", seed=0)
    noise = np.random.default_rng(0).integers(0, 256, split.validation.shape, np.uint8)
    damaged = split.validation.copy()
    damaged[:, :, 2:6, 2:6] = noise[:, :, 2:6, 2:6]
    images = np.concatenate([split.validation, damaged])
    scores = score(split.train, split.validation, images, 0, 10, Checkpoints())
    intact, broken = np.split(scores, 2)
    assert (broken > intact).mean() > 0.9
    assert 0 < intact.mean() < 8
