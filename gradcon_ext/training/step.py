"""A whole step of training, from a batch of images to changed weights."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from gradcon_ext.chain.engine import Engine
from gradcon_ext.losses import Loss
from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.objective import Objective
from gradcon_ext.training.precision import Precision


class Step(Protocol):
    """Takes the steps of an epoch."""

    @property
    def engine(self) -> Engine:
        """How the last step was computed, and why."""

    def begin_epoch(self) -> None:
        """Bring the model into training mode, and forget the gradients so far."""

    def __call__(self, images: Tensor) -> Tensor:
        """Take a step; return its mean reconstruction and latent loss and the cosine of each layer, (2 + L,) float64.

        Args:
            images: (N, C, H, W), uint8 (0 to 255) or floating point (0 to 1).
        """

    def silent(self) -> list[str]:
        """Return the names of the parameters whose gradient was exactly zero in every step of the epoch."""


class OptimizerStep:
    """Takes steps of the optimizer, one a batch, and never waits for a GPU: what a step finds out stays on the device.

    Args:
        state: model, constraint and optimizer, which are changed.
        loss: of single samples; a step minimises its mean.
        image_shape: (C, H, W).
        precision: of the model's forward pass.
    """

    def __init__(
        self, state: TrainingState, loss: Loss, image_shape: tuple[int, ...], precision: Precision = "float32"
    ) -> None:
        self._model = state.model
        self._reach = _Reach(state.model)
        self._optimizer = state.optimizer
        self._objective = Objective(state.model, loss, state.constraint, image_shape, precision)

    @property
    def engine(self) -> Engine:
        """How the last step was computed, and why."""
        return self._objective.engine

    def begin_epoch(self) -> None:
        """Bring the model into training mode, and forget the gradients so far."""
        self._model.train()
        self._reach.clear()

    def __call__(self, images: Tensor) -> Tensor:
        """Take a step; see `Step`."""
        self._optimizer.zero_grad()
        losses = self._objective.forward(images)
        cosines = self._objective.backward()
        self._optimizer.step()
        self._reach.look()
        return torch.cat([torch.stack([losses.reconstruction.mean(), losses.latent.mean()]).double(), cosines.double()])

    def silent(self) -> list[str]:
        """Return the names of the parameters whose gradient was exactly zero in every step of the epoch."""
        return self._reach.silent()


class _Reach:
    """Finds the parameters that no gradient reaches: those with a gradient of exactly zero in every step.

    Args:
        model: of whose parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._reached = torch.zeros(
            len(self._parameters), dtype=torch.bool, device=next(iter(self._parameters.values())).device
        )

    def look(self) -> None:
        """Take in the gradients of a step; a parameter without one takes no part, and does not count as unreached."""
        # Reading the flags is free on the CPU, where it spares the gradients. A GPU would have to be waited for.
        if self._reached.device.type == "cpu" and self._reached.all():
            return
        gradients = [parameter.grad for parameter in self._parameters.values()]
        everywhere = torch.ones_like(self._reached[0])
        self._reached |= torch.stack([everywhere if grad is None else grad.any() for grad in gradients])

    def clear(self) -> None:
        """Forget all gradients so far."""
        self._reached.zero_()

    def silent(self) -> list[str]:
        """Return the names of the parameters that no gradient has reached."""
        return [name for name, reached in zip(self._parameters, self._reached.tolist(), strict=True) if not reached]
