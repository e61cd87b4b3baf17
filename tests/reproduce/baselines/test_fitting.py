from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, in_batches, shuffled
from gradcon_ext.training.seeding import seeded

IMAGES = torch.arange(22.0).reshape(11, 2) / 22


class Interrupted(Exception):  # noqa: N818 - it is no error
    pass


def train(epochs, checkpoints, stop_in=None, losses=None):
    """Train networks with all kinds of state, by random numbers too; return what they hold."""
    with seeded(torch.device("cpu"), 0):
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.3), nn.Linear(3, 1))
        optimizer = torch.optim.Adam(network.parameters(), 0.01)

        def one_epoch(epoch):
            assert network.training
            for number, batch in enumerate(shuffled(IMAGES, 4)):
                if stop_in == epoch and number == 1:
                    raise Interrupted
                descend(optimizer, network(batch).square().mean())

        def validation_loss():
            assert not network.training
            return losses.pop(0)

        chosen = validation_loss if losses is not None else None
        fit(Training("training", {"n": network}, {"adam": optimizer}, one_epoch, chosen), epochs, checkpoints)
        assert not network.training
        drawn = torch.rand(1)
    return [*network.state_dict().values(), drawn]


def assert_same(one, other):
    assert all(torch.equal(mine, yours) for mine, yours in zip(one, other, strict=True))


@pytest.mark.parametrize("losses", [None, [3.0, 1.0, 2.0, 1.5]])
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, losses):
    checkpoints = Checkpoints("it", tmp_path / "new" / "folder", {"seed": 0})
    expected = train(4, Checkpoints(), losses=losses and losses.copy())
    with pytest.raises(Interrupted):
        train(4, checkpoints, stop_in=3, losses=losses and losses.copy())
    resumed = train(4, checkpoints, stop_in=2, losses=losses and losses[3:])  # epochs 1 to 3 are not trained again
    assert_same(resumed, expected)
    assert_same(train(4, checkpoints, stop_in=0, losses=losses and []), expected)


def test_the_epoch_with_the_lowest_validation_loss_is_kept():
    third, of_five = train(3, Checkpoints()), train(5, Checkpoints(), losses=[4.0, 3.0, 1.0, 2.0, 1.0])
    assert_same(third[:-1], of_five[:-1])
    assert not torch.equal(third[-1], of_five[-1])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_training_that_diverges_is_an_error(loss):
    with pytest.raises(FloatingPointError, match=rf"epoch 2 is {loss}"):
        train(3, Checkpoints(), losses=[1.0, loss])


@pytest.mark.parametrize(("number", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1])])
def test_every_image_is_in_one_batch_and_none_is_alone(number, sizes):
    batches = list(shuffled(torch.arange(number), 4))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(number))


def test_only_the_weights_of_the_optimiser_move():
    moved, fixed = nn.Linear(2, 2), nn.Linear(2, 1)
    before, kept = deepcopy(moved.state_dict()), deepcopy(fixed.state_dict())
    optimizer = torch.optim.Adam(moved.parameters(), 0.1)
    inputs = torch.ones(3, 2)
    losses = []
    for _ in range(2):
        loss = fixed(moved(inputs)).square().mean()
        losses.append(loss.item())
        descend(optimizer, loss)
    assert losses[1] < losses[0]
    assert not torch.equal(moved.weight, before["weight"])
    assert torch.equal(fixed.weight, kept["weight"])
    assert fixed.weight.grad is None


def test_batches_come_back_in_order():
    doubled = in_batches(lambda batch: 2 * batch, IMAGES.requires_grad_(), 4)
    assert torch.equal(doubled, 2 * IMAGES)
    assert not doubled.requires_grad
    IMAGES.requires_grad_(False)
