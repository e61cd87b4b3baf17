"""Losses of single samples: reconstruction and latent, in the same unit, so that they may be added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Below this probability the logarithm of a pixel counts as constant: small enough for the gradient to reach a very
# wrong pixel, large enough for the second derivative, 1/p^2, to be finite.
_SMALLEST_PROBABILITY = 1e-12


class SampleLosses(NamedTuple):
    """The two parts of every sample's loss, each (N,)."""

    reconstruction: Tensor
    latent: Tensor

    @property
    def total(self) -> Tensor:
        """The primal loss L of every sample, (N,)."""
        return self.reconstruction + self.latent


class VariationalOutput(NamedTuple):
    """What a variational autoencoder returns.

    `reconstruction` is (N, C, H, W); `mean` and `log_variance` of the latent code are (N, Z).
    """

    reconstruction: Tensor
    mean: Tensor
    log_variance: Tensor


Loss = Callable[[Any, Tensor], SampleLosses]
"""Takes a model's output and its images (N, C, H, W); returns the losses of the samples."""


def squared_error(output: Tensor, images: Tensor) -> SampleLosses:
    """Return the mean squared error over the pixels of each sample; there is no latent loss.

    Args:
        output: reconstructions (N, C, H, W), or (N, ...) of what else a sample may be.
        images: what should have been reconstructed, of the same shape.

    Warns:
        UserWarning: the shapes differ, and are broadcast.
    """
    # A mean over axes, unlike one over `flatten`, does not copy images whose channels lie last in memory.
    errors = functional.mse_loss(output, images, reduction="none")
    axes = tuple(range(1, errors.dim()))
    reconstruction = errors.mean(axes) if axes else errors
    return SampleLosses(reconstruction, torch.zeros_like(reconstruction))


def evidence_bound(output: VariationalOutput, images: Tensor) -> SampleLosses:
    """Return the negative evidence lower bound of each sample, in nats per pixel (Kingma and Welling, 2013).

    Reconstruction is the binary cross entropy, latent the Kullback-Leibler divergence of the code to N(0, 1).
    Finite, with finite first and second derivatives, also where a pixel is reconstructed as exactly 0 or 1.

    Args:
        output: reconstructions (N, C, H, W) in [0, 1], mean and log variance of the code (N, Z).
        images: what should have been reconstructed, (N, C, H, W) in [0, 1].
    """
    probability = output.reconstruction.clamp(_SMALLEST_PROBABILITY, 1 - torch.finfo(output.reconstruction.dtype).eps)
    cross_entropy = -(images * probability.log() + (1 - images) * (-probability).log1p())
    divergence = 0.5 * (output.mean.square() + output.log_variance.exp() - output.log_variance - 1)
    pixels = images.shape[1:].numel()
    return SampleLosses(cross_entropy.flatten(1).mean(1), divergence.flatten(1).sum(1) / pixels)


def loss_of(model: nn.Module) -> Loss:
    """Return the loss that the model comes with, or else the squared error."""
    loss: Loss = getattr(model, "loss", squared_error)
    return loss


def reconstruction_of(output: Any) -> Tensor:
    """Return the reconstructed images of a model's output: the output itself, or its field `reconstruction`.

    Raises:
        TypeError: the output is neither a tensor nor has a tensor `reconstruction`.
    """
    reconstruction = output if isinstance(output, Tensor) else getattr(output, "reconstruction", None)
    if not isinstance(reconstruction, Tensor):
        raise TypeError(
            "expected a model that returns a tensor or an object with a tensor 'reconstruction', "
            f"got {type(output).__name__}"
        )
    return reconstruction


def constant_image_loss(loss: Loss, output: Any, images: Tensor, constant: Tensor) -> Tensor:
    """Return the mean reconstruction loss if every sample were reconstructed as the same image, a 0-dim tensor.

    Of all such images the mean has the least squared error and the least binary cross entropy: a model that does
    no better has learned nothing about single images.

    Args:
        loss: the loss of the model.
        output: the model's output for the images; only its reconstruction is replaced.
        images: (N, C, H, W).
        constant: the image, in a shape that broadcasts to that of the images.

    Raises:
        TypeError: the output is neither a tensor nor a named tuple with a `reconstruction`.
    """
    reconstruction = constant.expand_as(images)
    if isinstance(output, Tensor):
        return loss(reconstruction, images).reconstruction.mean()
    if not hasattr(output, "_replace"):
        raise TypeError(
            "expected a model that returns a tensor or a named tuple with a 'reconstruction', "
            f"got {type(output).__name__}"
        )
    return loss(output._replace(reconstruction=reconstruction), images).reconstruction.mean()
