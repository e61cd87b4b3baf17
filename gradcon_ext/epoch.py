"""One pass over the images: a training epoch, or a validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradcon_ext.checkpoint import TrainingState
from gradcon_ext.losses import Loss, SampleLosses, constant_image_loss


@dataclass(frozen=True)
class Figures:
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
class TrainingFigures(Figures):
    """Figures of a training epoch.

    Attributes:
        silent: names of the parameters whose gradient was exactly zero in every step.
    """

    silent: list[str]


@dataclass(frozen=True)
class ValidationFigures(Figures):
    """Figures of a validation.

    Attributes:
        mean_image: reconstruction loss if every reconstruction were the mean of all images, of training and validation.
        black_image: reconstruction loss if every reconstruction were black (0).
        white_image: reconstruction loss if every reconstruction were white (1).
    """

    mean_image: float
    black_image: float
    white_image: float


def train_epoch(
    state: TrainingState, loss: Loss, batches: Iterable[Tensor], report: Callable[[int, float, float], None]
) -> TrainingFigures:
    """Take one step of the optimizer for each batch.

    Args:
        state: model, constraint and optimizer, which are changed.
        loss: of single samples; a step minimises its mean.
        batches: images (n, C, H, W).
        report: called after each step with the number of images, the loss and the mean cosine.

    Raises:
        RuntimeError: the loss is not finite.
    """
    state.model.train()
    means = _Means()
    silent = dict(state.model.named_parameters())
    for step, batch in enumerate(batches, start=1):
        images = _like_weights(batch, state)
        state.optimizer.zero_grad()
        losses = loss(state.model(images), images)
        batch_loss = losses.total.mean()
        value = batch_loss.item()
        if not math.isfinite(value):
            raise RuntimeError(f"the loss is {value} in epoch {state.epoch + 1}, step {step}; a lower lr may help")
        cosines = state.constraint.backward(batch_loss)
        state.optimizer.step()

        silent = {
            name: parameter
            for name, parameter in silent.items()
            if parameter.grad is not None and not parameter.grad.any()
        }
        means.add(len(images), losses, cosines)
        report(len(images), value, cosines.mean().item())
    reconstruction, latent, *cosine = means.values()
    return TrainingFigures(reconstruction, latent, cosine, list(silent))


def validate(state: TrainingState, loss: Loss, batches: Iterable[Tensor], mean_image: Tensor) -> ValidationFigures:
    """Measure losses and the alignment of batch gradients in evaluation mode; nothing is changed.

    Args:
        state: model and constraint.
        loss: of single samples.
        batches: images (n, C, H, W).
        mean_image: mean of all images of training and validation, (C, H, W). That of a batch would be a perfect
            reconstruction of a batch of one; that of a few training images is off by chance, and worse than grey.
    """
    state.model.eval()
    means = _Means()
    mean_image = _like_weights(mean_image, state)
    for batch in batches:
        images = _like_weights(batch, state)
        output = state.model(images)
        losses = loss(output, images)
        gradients = torch.autograd.grad(losses.total.mean(), list(state.constraint.weights.values()))
        constants = (mean_image, images.new_zeros(()), images.new_ones(()))
        constant_losses = [constant_image_loss(loss, output, images, constant) for constant in constants]
        means.add(len(images), losses, state.constraint.cosines(gradients), *constant_losses)
    reconstruction, latent, *cosine, of_mean, of_black, of_white = means.values()
    return ValidationFigures(reconstruction, latent, cosine, of_mean, of_black, of_white)


class _Means:
    """Collects figures of batches, on the device until the means over all images are asked for."""

    def __init__(self) -> None:
        self._images: list[int] = []
        self._figures: list[Tensor] = []

    def add(self, images: int, losses: SampleLosses, *others: Tensor) -> None:
        """Take in a batch: its sample losses, and other figures, of any shape, that hold for all of its images."""
        figures = [losses.reconstruction.mean(), losses.latent.mean(), *others]
        self._images.append(images)
        self._figures.append(torch.cat([figure.detach().double().flatten() for figure in figures]))

    def values(self) -> list[float]:
        figures = torch.stack(self._figures)
        shares = torch.tensor(self._images).to(figures) / sum(self._images)
        values: list[float] = (shares @ figures).tolist()
        return values


def _like_weights(images: Tensor, state: TrainingState) -> Tensor:
    weight = next(iter(state.constraint.weights.values()))
    return images.to(weight.device, weight.dtype)
