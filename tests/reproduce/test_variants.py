from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import loss_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.reproduce.variants import with_renewed_references


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
