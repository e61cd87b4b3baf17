from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines import ocgan
from gradcon_ext.reproduce.baselines.adversaries import verdict_loss
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.ocgan import CODE, Game, Networks, informative_negatives

SPLIT = one_class_split(load("digits"), "0", seed=0)


@pytest.fixture
def networks():
    """Weights large enough for verdicts that differ, as after long training."""
    networks = Networks((1, 8, 8))
    for weight in networks.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight)
    return networks.eval()


def test_codes_and_images_are_bounded(networks):
    images = 1000 * torch.randn(20, 1, 8, 8)
    assert networks.encoder(images).abs().max() <= 1
    assert networks(images).shape == images.shape
    assert networks(images).abs().max() <= 1


def test_informative_negatives_raise_the_loss_of_the_classifier(networks):
    def losses(codes):
        verdicts = networks.classifier(networks.decoder(codes))
        return torch.stack([verdict_loss(verdict, True) for verdict in verdicts])

    codes = 2 * torch.rand(50, CODE) - 1
    before = deepcopy(networks.state_dict())
    mined = informative_negatives(networks, codes)
    assert (losses(mined) > losses(codes)).all()
    assert mined.abs().max() <= 1
    assert not mined.requires_grad
    assert all(torch.equal(weight, before[name]) for name, weight in networks.state_dict().items())


def test_informative_negatives_stay_in_bounds_however_long_the_steps(networks, monkeypatch):
    monkeypatch.setattr(ocgan, "MINING_RATE", 1e6)
    assert informative_negatives(networks, torch.rand(10, CODE)).abs().max() == 1


def test_the_last_quarter_of_the_epochs_has_informative_negatives(monkeypatch):
    noted = []
    monkeypatch.setattr(Game, "epoch", lambda self, images, *, mining: noted.append(mining))
    ocgan.score(SPLIT.train, SPLIT.validation, SPLIT.test, seed=0, epochs=8, checkpoints=Checkpoints())
    assert noted == [False] * 6 + [True] * 2


def test_the_epoch_with_the_least_validation_error_scores(monkeypatch):
    noted = []
    errors = Networks.errors

    def note(self, images):
        found = errors(self, images)
        noted.append(float(found.mean()))
        return found

    def swing(self, images, *, mining):
        *_, brightness = self.networks.decoder.parameters()
        with torch.no_grad():
            brightness.mul_(-2).add_(0.5)

    monkeypatch.setattr(Networks, "errors", note)
    monkeypatch.setattr(Game, "epoch", swing)
    scores = ocgan.score(SPLIT.train, SPLIT.validation, SPLIT.validation, seed=0, epochs=4, checkpoints=Checkpoints())
    *by_epoch, _ = noted
    assert len(by_epoch) == 4
    assert min(by_epoch) < min(by_epoch[0], by_epoch[-1])
    assert scores.mean() == pytest.approx(min(by_epoch))


def test_an_error_is_the_mean_over_an_images_pixels():
    networks = Networks((1, 8, 8)).eval()
    images = torch.rand(3, 1, 8, 8)
    expected = torch.stack([(networks(image[None])[0] - image).square().mean() for image in images])
    torch.testing.assert_close(networks.errors(images), expected)


def test_damaged_images_score_higher(monkeypatch):
    monkeypatch.setattr(ocgan, "LEARNING_RATE", 2e-3)  # so few images make a single step an epoch
    damaged = SPLIT.test.copy()
    damaged[:, :, 2:6, 2:6] = 255 - damaged[:, :, 2:6, 2:6]
    images = np.concatenate([SPLIT.test, damaged])
    scores = ocgan.score(SPLIT.train, SPLIT.validation, images, seed=0, epochs=60, checkpoints=Checkpoints())
    whole, changed = (part[~SPLIT.test_is_outlier] for part in np.split(scores, 2))
    assert (changed > whole).mean() > 0.95
