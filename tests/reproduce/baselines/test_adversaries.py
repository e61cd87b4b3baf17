from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gradcon_ext.reproduce.baselines.adversaries import adam, minimise, shuffled, verdict_loss


@pytest.mark.parametrize("real", [True, False])
def test_the_loss_of_a_verdict_is_its_cross_entropy(real):
    logits = torch.tensor([[-2.0], [0.5], [3.0]], dtype=torch.float64)
    real_with = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.log(real_with if real else 1 - real_with).mean()
    assert verdict_loss(logits, real).item() == pytest.approx(expected)


def test_only_the_weights_of_the_optimiser_move():
    moved, fixed = nn.Linear(2, 2), nn.Linear(2, 1)
    before, kept = deepcopy(moved.state_dict()), deepcopy(fixed.state_dict())
    optimizer = adam(moved, lr=0.1)
    inputs = torch.ones(3, 2)
    losses = []
    for _ in range(2):
        loss = fixed(moved(inputs)).square().mean()
        losses.append(loss.item())
        minimise(optimizer, loss)
    assert losses[1] < losses[0]
    assert not torch.equal(moved.weight, before["weight"])
    assert torch.equal(fixed.weight, kept["weight"])
    assert fixed.weight.grad is None


@given(st.integers(2, 40), st.integers(1, 12))
def test_every_image_comes_once_in_batches_of_nearly_one_size(count, batch_size):
    batches = list(shuffled(torch.arange(count), batch_size))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat(batches).tolist()) == list(range(count))


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match="2 images or more; got 1$"):
        next(shuffled(torch.zeros(1, 1, 8, 8), 4))


def test_the_order_is_drawn_anew():
    first, second = (torch.cat(list(shuffled(torch.arange(50), 7))) for _ in range(2))
    assert not torch.equal(first, second)
