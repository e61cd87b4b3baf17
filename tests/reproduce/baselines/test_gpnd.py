from __future__ import annotations

import numpy as np
import torch

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines import gpnd
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.gpnd import CODE, Game, Networks, coded, learning_rate

SPLIT = one_class_split(load("digits"), "0", seed=0)


def test_what_an_image_is_coded_to_does_not_depend_on_others():
    networks = Networks((1, 8, 8))
    images = torch.rand(5, 1, 8, 8)
    networks.encoder(images)  # so that what is normalised is not trivial
    together = coded(networks.eval(), images)
    assert together.codes.shape == (5, CODE)
    for image, code, norm in zip(images, *together, strict=True):
        alone = networks.encoder(image[None])
        np.testing.assert_allclose(code, alone[0].detach(), rtol=1e-4, atol=1e-6)
        residual = (image - networks.decoder(alone)[0]).detach().numpy()
        np.testing.assert_allclose(norm, np.linalg.norm(residual), rtol=1e-5)


def test_the_learning_rate_falls_at_the_same_shares_of_any_training(monkeypatch):
    noted = []

    class Noting(Game):
        def epoch(self, images, rate):
            super().epoch(images, rate)
            noted.append([group["lr"] for optimizer in self.optimizers.values() for group in optimizer.param_groups])

    monkeypatch.setattr(gpnd, "Game", Noting)
    gpnd.score(SPLIT.train[:20], SPLIT.validation, SPLIT.test[:2], seed=0, epochs=8, checkpoints=Checkpoints())
    falling = [2e-3] * 3 + [5e-4] * 3 + [1.25e-4] * 2
    np.testing.assert_allclose(noted, np.transpose([falling] * 3))


def test_the_first_epoch_has_the_first_learning_rate():
    assert [learning_rate(epoch, 2) for epoch in range(2)] == [2e-3, 1.25e-4]
    assert learning_rate(0, 1) == 2e-3


def test_damaged_images_score_higher():
    damaged = SPLIT.test.copy()
    damaged[:, :, 2:6, 2:6] = 255 - damaged[:, :, 2:6, 2:6]
    images = np.concatenate([SPLIT.test, damaged])
    scores = gpnd.score(SPLIT.train, SPLIT.validation, images, seed=0, epochs=60, checkpoints=Checkpoints())
    whole, changed = (part[~SPLIT.test_is_outlier] for part in np.split(scores, 2))
    assert (changed > whole).mean() > 0.95
