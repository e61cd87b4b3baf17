from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.dcgan import WIDTH, Discriminator, Generator, draw_codes, train_gan
from gradcon_ext.training.seeding import seeded


@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ((1, 28, 28), [WIDTH, 2 * WIDTH]),
        ((3, 28, 28), [WIDTH, 2 * WIDTH]),
        ((3, 32, 32), [WIDTH, 2 * WIDTH]),
        ((1, 64, 64), [WIDTH, 2 * WIDTH, 4 * WIDTH]),
        ((1, 8, 9), [WIDTH]),
    ],
)
def test_codes_become_images_and_images_logits(shape, widths):
    images = Generator(shape)(draw_codes(2))
    assert images.shape == (2, *shape)
    assert -1 <= images.min() < images.max() <= 1
    discriminator = Discriminator(shape)
    assert discriminator(images).shape == (2, 1)
    assert [layer.out_channels for layer in discriminator.features if isinstance(layer, nn.Conv2d)] == widths


def test_a_single_row_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 9\)"):
        Generator((1, 1, 9))


def test_training_makes_a_game_of_two():
    """Of images that are all bright, the generator learns the brightness, and neither network decides the game."""
    with seeded(torch.device("cpu"), 0):
        bright = 0.9 + 0.1 * torch.rand(256, 1, 8, 8)
        before = Generator((1, 8, 8))(draw_codes(64)).mean()
        generator, discriminator = train_gan(bright, 40, Checkpoints())
        made = generator(draw_codes(64))
    assert not generator.training
    assert abs(before) < 0.2
    assert made.mean() > 0.5
    assert discriminator(bright).mean() > discriminator(-bright).mean()
