"""Metrics of one pass over the images: a training epoch, or a validation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradcon_ext.losses import Loss, constant_image_loss
from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.step import Step


@dataclass(frozen=True)
class Metrics:
    """Means over the images of one pass.

    Attributes:
        reconstruction: reconstruction loss.
        latent: latent loss.
        cosine: alignment of the batch gradients with their references, for each constrained layer.
    """

    reconstruction: float
    latent: float
    cosine: list[float]

    @property
    def loss(self) -> float:
        """The primal loss L."""
        return self.reconstruction + self.latent

    def objective(self, alpha: float) -> float:
        """Return J = L - alpha * mean cosine."""
        return self.loss - alpha * math.fsum(self.cosine) / len(self.cosine)


@dataclass(frozen=True)
class TrainingMetrics(Metrics):
    """Metrics of a training epoch.

    Attributes:
        silent: names of the parameters whose gradient was exactly zero in every step.
    """

    silent: list[str]


@dataclass(frozen=True)
class ValidationMetrics(Metrics):
    """Metrics of a validation.

    Attributes:
        mean_image: reconstruction loss if every reconstruction were the mean of all images, of training and validation.
        black_image: reconstruction loss if every reconstruction were black (0).
        white_image: reconstruction loss if every reconstruction were white (1).
    """

    mean_image: float
    black_image: float
    white_image: float


class TrainingEpoch:
    """Takes a step a batch, and reads the metrics of several steps at once: reading them waits for the device.

    Args:
        step: takes the steps.
        number: of the epoch, from 1.
        read_every: after how many steps metrics are read. A loss that is not finite is noticed then.

    Attributes:
        loss: of the step that was read last; None before.
        cosine: mean over the layers of that step; None before.
    """

    def __init__(self, step: Step, number: int, read_every: int = 1) -> None:
        self.loss: float | None = None
        self.cosine: float | None = None
        self._step = step
        self._number = number
        self._read_every = read_every
        self._steps_read = 0
        self._unread: list[Tensor] = []
        self._means = _Means()
        step.begin_epoch()

    def take(self, images: Tensor) -> None:
        """Take one step of the optimizer.

        Args:
            images: (n, C, H, W).

        Raises:
            RuntimeError: the loss of this step, or of one before that had not been read, is not finite.
        """
        metrics = self._step(images)
        self._means.add(len(images), metrics)
        self._unread.append(metrics)
        if len(self._unread) >= self._read_every:
            self._read()

    def metrics(self) -> TrainingMetrics:
        """Return the means over all images.

        Raises:
            RuntimeError: the loss of a step that had not been read is not finite.
        """
        if self._unread:
            self._read()
        reconstruction, latent, *cosine = self._means.values()
        return TrainingMetrics(reconstruction, latent, cosine, self._step.silent())

    def _read(self) -> None:
        for reconstruction, latent, *cosines in torch.stack(self._unread).tolist():
            self._steps_read += 1
            self.loss, self.cosine = reconstruction + latent, math.fsum(cosines) / len(cosines)
            if not math.isfinite(self.loss):
                raise RuntimeError(
                    f"the loss is {self.loss} in epoch {self._number}, step {self._steps_read}; a lower lr may help"
                )
        self._unread.clear()


class Validation:
    """Measures losses and the alignment of batch gradients in evaluation mode; nothing is changed.

    Args:
        state: model and constraint.
        loss: of single samples.
        mean_image: mean of all images of training and validation, (C, H, W). That of a batch would be a perfect
            reconstruction of a batch of one; that of a few training images is off by chance, and worse than grey.
    """

    def __init__(self, state: TrainingState, loss: Loss, mean_image: Tensor) -> None:
        self._model = state.model
        self._constraint = state.constraint
        self._weights = list(state.constraint.weights.values())
        self._loss = loss
        self._mean_image = self._like_weights(mean_image)
        self._means = _Means()
        state.model.eval()

    def take(self, images: Tensor) -> None:
        """Measure one batch, (n, C, H, W)."""
        images = self._like_weights(images)
        output = self._model(images)
        losses = self._loss(output, images)
        gradients = torch.autograd.grad(losses.total.mean(), self._weights)
        constants = (self._mean_image, images.new_zeros(()), images.new_ones(()))
        constant_losses = [constant_image_loss(self._loss, output, images, constant) for constant in constants]
        self._means.add(
            len(images),
            losses.reconstruction.mean(),
            losses.latent.mean(),
            self._constraint.cosines(gradients),
            *constant_losses,
        )

    def metrics(self) -> ValidationMetrics:
        """Return the means over all images."""
        reconstruction, latent, *cosine, of_mean, of_black, of_white = self._means.values()
        return ValidationMetrics(reconstruction, latent, cosine, of_mean, of_black, of_white)

    def _like_weights(self, images: Tensor) -> Tensor:
        return images.to(self._weights[0].device, self._weights[0].dtype)


class _Means:
    """Collects metrics of batches, on the device until the means over all images are asked for."""

    def __init__(self) -> None:
        self._images: list[int] = []
        self._metrics: list[Tensor] = []

    def add(self, images: int, *metrics: Tensor) -> None:
        """Take in the metrics of a batch, of any shape, that hold for all of its images."""
        self._images.append(images)
        self._metrics.append(torch.cat([metric.detach().double().flatten() for metric in metrics]))

    def values(self) -> list[float]:
        metrics = torch.stack(self._metrics)
        shares = torch.tensor(self._images).to(metrics) / sum(self._images)
        values: list[float] = (shares @ metrics).tolist()
        return values
