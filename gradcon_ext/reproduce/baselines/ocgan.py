"""One-class GAN with a constrained latent space (Perera et al., 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.adversaries import adam, scaled, verdict_loss
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, in_batches, shuffled
from gradcon_ext.reproduce.baselines.pyramid import Pyramid, dense
from gradcon_ext.training.seeding import seeded

CODE = 16
WIDTH = 16
"""Channels behind the first convolution of the autoencoder and of the classifier; 64 in the authors' networks."""
WIDTH_OF_DISCRIMINATOR = 12
BATCH_SIZE = 128
LEARNING_RATE = 2e-4
NOISE = 0.2
"""Standard deviation of what is added to images from -1 to 1."""
WEIGHT_OF_ERROR = 10.0
MINING_STEPS = 5
MINING_RATE = 0.4

_KERNEL = 5


class Networks(nn.Module):
    """The autoencoder and the networks that it is trained against; each of these returns logits (N, 1).

    Args:
        shape: (C, H, W) of the images.

    Attributes:
        encoder: from images in [-1, 1] to codes (N, `CODE`) in [-1, 1].
        decoder: back to images.
        of_codes: tells codes of images from uniform ones, which it is to call real.
        of_images: tells images from what the decoder makes of uniform codes.
        classifier: tells reconstructions, as if they were real, from what the decoder makes of uniform codes.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        wide, narrow = (
            Pyramid.over(shape, (width, 2 * width, 4 * width), _KERNEL) for width in (WIDTH, WIDTH_OF_DISCRIMINATOR)
        )
        self.encoder = nn.Sequential(wide.downwards(CODE), nn.Tanh())
        self.decoder = nn.Sequential(wide.upwards(CODE), nn.Tanh())
        self.of_codes = dense((CODE, 128, 64, 32, 16, 1), nn.ReLU(), normalised=True)
        self.of_images = narrow.downwards(1)
        self.classifier = wide.downwards(1)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W) in [-1, 1]."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction

    def errors(self, images: Tensor) -> Tensor:
        """Return the mean squared error (N,) of the reconstruction of each image (N, C, H, W)."""
        errors: Tensor = (self(images) - images).square().mean((1, 2, 3))
        return errors


class Game:
    """Networks that are trained against each other, and their optimisers.

    Args:
        networks: in training mode whenever a method is called.
    """

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self._autoencoder = adam(networks.encoder, networks.decoder, lr=LEARNING_RATE)
        self._judges = adam(networks.of_codes, networks.of_images, networks.classifier, lr=LEARNING_RATE)
        self.optimizers = {"autoencoder": self._autoencoder, "judges": self._judges}

    def epoch(self, images: Tensor, *, mining: bool) -> None:
        """Pass over images (N, C, H, W) in [-1, 1] once, with informative negatives or without."""
        for batch in shuffled(images, BATCH_SIZE):
            self._step(batch, mining)

    def _step(self, images: Tensor, mining: bool) -> None:
        """Algorithm 1 of the paper."""
        networks = self.networks
        codes = networks.encoder(images + NOISE * torch.randn_like(images))
        reconstructions = networks.decoder(codes)
        uniform = 2 * torch.rand_like(codes) - 1
        made = networks.decoder(uniform)
        judged = self._loss_of_judges(images, codes.detach(), reconstructions.detach(), uniform, made.detach())
        descend(self._judges, judged)
        if mining:
            made = networks.decoder(informative_negatives(networks, uniform))
        error = mse_loss(reconstructions, images)
        deceit = verdict_loss(networks.of_codes(codes), True) + verdict_loss(networks.of_images(made), True)
        descend(self._autoencoder, WEIGHT_OF_ERROR * error + deceit)

    def _loss_of_judges(
        self, images: Tensor, codes: Tensor, reconstructions: Tensor, uniform: Tensor, made: Tensor
    ) -> Tensor:
        """Sum over networks that have no weight in common."""
        networks = self.networks
        return (
            verdict_loss(networks.of_codes(codes), False)
            + verdict_loss(networks.of_codes(uniform), True)
            + verdict_loss(networks.of_images(made), False)
            + verdict_loss(networks.of_images(images), True)
            + verdict_loss(networks.classifier(made), False)
            + verdict_loss(networks.classifier(reconstructions), True)
        )


def informative_negatives(networks: Networks, codes: Tensor) -> Tensor:
    """Move codes (N, `CODE`) to where the classifier is surer that what the decoder makes of them is out of class.

    Each step raises the loss of the verdict that it is in class. It goes down the loss of the other verdict, as in the
    authors' published code, and so is the shorter the surer the classifier is already. The codes stay from -1 to 1.
    """
    for _ in range(MINING_STEPS):
        moved = codes.detach().requires_grad_()
        out_of_class = verdict_loss(networks.classifier(networks.decoder(moved)), False)
        (slopes,) = torch.autograd.grad(len(codes) * out_of_class, moved)
        codes = (codes - MINING_RATE * slopes).clamp(-1, 1)
    return codes


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the mean squared error of the autoencoder.

    Its weights are those of the epoch with the lowest error on `validation`; see `Baseline.score`.

    Readings of what the paper leaves open, after the authors' published code where that says anything: codes have 16
    features, whatever the images; the last quarter of the epochs has informative negatives, by five steps that are
    together as long as the single one of that code; the squared error is a mean over pixels, with weight 10, of images
    from -1 to 1; and images are scored without noise. Images of 28 pixels are halved three times, and a
    linear layer takes what is left to the code. The autoencoder and the classifier have a quarter of their channels.
    """
    images, held_out, scored = (scaled(some) for some in (train, validation, test))
    with seeded(torch.device("cpu"), seed):
        networks = Networks((train.shape[1], train.shape[2], train.shape[3]))
        game = Game(networks)

        def one_epoch(epoch: int) -> None:
            game.epoch(images, mining=4 * (epoch + 1) > 3 * epochs)

        def validation_loss() -> float:
            return in_batches(networks.errors, held_out, BATCH_SIZE).mean().item()

        training = Training("training", {"networks": networks}, game.optimizers, one_epoch, validation_loss)
        fit(training, epochs, checkpoints)
    return in_batches(networks.errors, scored, BATCH_SIZE).double().numpy()
