from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.adversaries import adam, scaled, verdict_loss


@pytest.mark.parametrize("real", [True, False])
def test_the_loss_of_a_verdict_is_its_cross_entropy(real):
    logits = torch.tensor([[-2.0], [0.5], [3.0]], dtype=torch.float64)
    real_with = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.log(real_with if real else 1 - real_with).mean()
    assert verdict_loss(logits, real).item() == pytest.approx(expected)


def test_pixels_are_brought_to_the_range_of_a_generator():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).numpy()
    torch.testing.assert_close(scaled(images), torch.tensor([-1, -0.6, 1]))


def test_an_optimiser_has_the_weights_of_all_networks():
    networks = nn.Linear(2, 3), nn.Linear(3, 1)
    (group,) = adam(*networks, lr=0.1).param_groups
    assert [id(weight) for weight in group["params"]] == [
        id(weight) for each in networks for weight in each.parameters()
    ]
    assert (group["lr"], group["betas"]) == (0.1, (0.5, 0.999))
