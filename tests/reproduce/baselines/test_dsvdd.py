from __future__ import annotations

import numpy as np

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines import dsvdd
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints

SPLIT = one_class_split(load("digits"), "0", seed=0)
FEATURES = 32


def test_training_draws_the_codes_nearer_to_the_centre_than_zero_is(monkeypatch):
    monkeypatch.setattr(dsvdd, "LEARNING_RATE", 1e-3)  # so few images make a single step an epoch
    distances = dsvdd.score(SPLIT.train, SPLIT.validation, SPLIT.train, seed=0, epochs=100, checkpoints=Checkpoints())
    assert 0 < distances.mean() < FEATURES * dsvdd.LEAST_CENTRE**2 / 2


def test_brightness_does_not_matter():
    dark = SPLIT.test // 2
    images = np.concatenate([dark, dark + 50])
    scores = dsvdd.score(SPLIT.train, SPLIT.validation, images, seed=0, epochs=1, checkpoints=Checkpoints())
    np.testing.assert_allclose(scores[: len(dark)], scores[len(dark) :], rtol=1e-4)
