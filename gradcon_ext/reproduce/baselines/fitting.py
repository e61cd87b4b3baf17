"""The one loop that trains networks by epochs, and goes on where it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints, State


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Attributes:
        name: of its checkpoint, unlike those of other trainings of the baseline.
        networks: all that `one_epoch` changes, by name.
        optimizers: of these, by name.
        one_epoch: takes the number of finished epochs, and trains for another one.
        validation_loss: of the networks as they are, in evaluation mode; the epoch where it is lowest is kept. Without
            it that is the last.
    """

    name: str
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    one_epoch: Callable[[int], None]
    validation_loss: Callable[[], float] | None = None


def fit(training: Training, epochs: int, checkpoints: Checkpoints) -> None:
    """Train, and leave the networks in evaluation mode.

    torch's global random numbers on the CPU are a part of what is trained: within `seeded` a training that goes on from
    its checkpoint ends with the same bits as one without interruption.

    Args:
        training: what is trained.
        epochs: in all, those of the checkpoint included.
        checkpoints: to go on from, and to write after each epoch.

    Raises:
        FloatingPointError: a validation loss is not finite.
        ValueError: a checkpoint is damaged.
    """
    state = State(training.networks, training.optimizers)
    checkpoints.load(training.name, state)
    with checkpoints.bar(training.name, epochs, state.epoch) as bar:
        while state.epoch < epochs:
            _set_mode(training, train=True)
            training.one_epoch(state.epoch)
            _set_mode(training, train=False)
            state.epoch += 1
            if training.validation_loss is not None:
                _keep_best(state, training.validation_loss())
            checkpoints.save(training.name, state)
            bar.update()
    _set_mode(training, train=False)
    if training.validation_loss is not None:
        state.load_weights(state.best)


def shuffled(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield all images, (B, ...) at a time, in an order that torch's global random numbers give.

    A last one that would be alone joins those before it: batch normalisation needs two.
    """
    batches = list(torch.split(torch.randperm(len(images)), batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    for indices in batches:
        yield images[indices]


def descend(optimizer: Optimizer, loss: Tensor) -> None:
    """Take a step down the gradient of a loss; only the gradients of the optimiser's own weights are computed."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()
    torch.autograd.backward(loss, inputs=weights)
    optimizer.step()


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int) -> Tensor:
    """Return what a function makes of images, (B, ...) at a time, one below the other."""
    return torch.cat([function(batch) for batch in torch.split(images, batch_size)])


def _set_mode(training: Training, train: bool) -> None:
    for network in training.networks.values():
        network.train(train)


def _keep_best(state: State, loss: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(f"the validation loss of epoch {state.epoch} is {loss}")
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss = loss
        state.best = {name: tensor.clone() for name, tensor in state.weights().items()}
