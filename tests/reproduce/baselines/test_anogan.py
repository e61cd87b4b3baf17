from __future__ import annotations

import pytest
import torch

from gradcon_ext.reproduce.baselines import anogan
from gradcon_ext.reproduce.baselines.anogan import search
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.dcgan import Discriminator, Generator, draw_codes

SHAPE = (1, 8, 8)


@pytest.fixture
def networks():
    generator, discriminator = Generator(SHAPE).eval(), Discriminator(SHAPE).eval()
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        parameter.data *= 5  # images that differ, as those of trained networks do
    return generator, discriminator


def loss(networks, images, codes):
    generator, discriminator = networks
    with torch.no_grad():
        made = generator(codes)
        pixels = (made - images).abs().sum((1, 2, 3))
        features = (discriminator.features(made) - discriminator.features(images)).abs().sum(1)
    return 0.9 * pixels + 0.1 * features


def test_the_loss_is_that_of_pixels_and_features(networks):
    images, codes = torch.rand(7, *SHAPE), draw_codes(7)
    found = search(*networks, images, codes, 0, Checkpoints())
    torch.testing.assert_close(found, loss(networks, images, codes))


def test_the_search_lowers_the_loss_of_every_image(networks, monkeypatch):
    monkeypatch.setattr(anogan, "BATCH_SIZE", 4)
    with torch.no_grad():
        images = networks[0](draw_codes(10))
    start = draw_codes(1).repeat(10, 1)
    kept = start.clone()
    before = loss(networks, images, start)
    some, more = (search(*networks, images, start, steps, Checkpoints()) for steps in (20, 200))
    assert torch.equal(start, kept)
    assert (some < before).all()
    assert (more < 0.5 * before).all()


def test_images_of_the_generator_are_found_better_than_others(networks):
    with torch.no_grad():
        images = networks[0](draw_codes(10))
    others = images.flip(0).flatten(1)[:, torch.randperm(64)].reshape(images.shape)
    found = search(*networks, torch.cat([images, others]), draw_codes(1).repeat(20, 1), 300, Checkpoints())
    assert 1.5 * found[:10].mean() < found[10:].mean()


@pytest.mark.parametrize(("epochs", "steps"), [(2, 20), (49, 490), (50, 500), (1000, 500)])
def test_steps_grow_with_the_epochs_up_to_those_of_the_paper(monkeypatch, epochs, steps):
    taken = []
    networks = Generator(SHAPE), Discriminator(SHAPE)

    def note(generator, discriminator, images, codes, steps, checkpoints):
        taken.append(steps)
        return torch.zeros(len(images))

    monkeypatch.setattr(anogan, "train_gan", lambda *arguments: networks)
    monkeypatch.setattr(anogan, "search", note)
    images = torch.zeros(2, *SHAPE, dtype=torch.uint8).numpy()
    anogan.score(images, images, images, 0, epochs, Checkpoints())
    assert taken == [steps]
