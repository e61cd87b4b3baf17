from __future__ import annotations

import numpy as np
import torch

from gradcon_ext.data import load
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.dae import DenseAutoencoder, score
from gradcon_ext.scoring.scorer import Scorer

SHAPE = (3, 5, 4)


def test_images_come_back_in_their_shape():
    images = torch.rand(2, *SHAPE)
    reconstruction = DenseAutoencoder(SHAPE)(images)
    assert reconstruction.shape == images.shape
    assert 0 < reconstruction.min() < reconstruction.max() < 1


def test_the_fused_engine_runs_it():
    model = DenseAutoencoder(SHAPE)
    weights = {name: weight for name, weight in model.named_parameters() if name == "decoder.0.weight"}
    assert Scorer(model, weights).engine_for(SHAPE).name == "fused chain"


def test_the_score_is_the_error_of_what_it_learned_to_copy():
    images = load("digits").train.images
    train, validation, test = np.split(images, [1000, 1100])
    with_negatives = np.concatenate([test, 255 - test])
    scores = score(train, validation, with_negatives, seed=0, epochs=10, checkpoints=Checkpoints())
    errors, errors_of_negatives = np.split(scores, 2)
    error_of_mean = np.square((test - train.mean(0)) / 255).mean()
    assert 0 < errors.mean() < error_of_mean
    assert (errors_of_negatives > errors).all()
