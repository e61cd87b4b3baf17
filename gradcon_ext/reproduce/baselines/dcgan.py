"""Deep convolutional generative adversarial networks (Radford et al., 2016), at the size of the images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcon_ext.reproduce.baselines.adversaries import adam, verdict_loss
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, shuffled
from gradcon_ext.reproduce.baselines.pyramid import Pyramid

WIDTH = 16
"""Channels at half the size of the images, an eighth of the paper's; twice as many at each half of that."""
SMALLEST = 8
"""Pixels of the smaller side, down to which images are halved; once at least."""
CODE = 100

BATCH_SIZE = 64
LEARNING_RATE = 2e-4


class Generator(nn.Module):
    """Codes to images with pixels in [-1, 1]: strided transposed convolutions, batch normalisation and ReLUs.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        ValueError: images too small to be halved.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(_pyramid(shape).upwards(CODE), nn.Tanh())

    def forward(self, codes: Tensor) -> Tensor:
        """Make images (N, C, H, W) of codes (N, CODE)."""
        images: Tensor = self.layers(codes)
        return images


class Discriminator(nn.Module):
    """Images to the logit of being real: strided convolutions, batch normalisation but for the first, leaky ReLUs.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        ValueError: images too small to be halved.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        layers = _pyramid(shape).downwards(1)
        self.features, self.head = layers[:-1], layers[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit (N, 1) of images (N, C, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def draw_codes(number: int) -> Tensor:
    """Draw codes (number, CODE), uniform in [-1, 1]."""
    return 2 * torch.rand(number, CODE) - 1


def train_gan(images: Tensor, epochs: int, checkpoints: Checkpoints) -> tuple[Generator, Discriminator]:
    """Train both networks against each other; there is no better or worse epoch, and they are those of the last.

    Args:
        images: `scaled`, (N, C, H, W).
        epochs: passes over them.
        checkpoints: of the training.
    """
    shape = (images.shape[1], images.shape[2], images.shape[3])
    generator, discriminator = Generator(shape), Discriminator(shape)
    of_generator, of_discriminator = (adam(network, lr=LEARNING_RATE) for network in (generator, discriminator))

    def one_epoch(epoch: int) -> None:
        for real in shuffled(images, BATCH_SIZE):
            generated = generator(draw_codes(len(real)))
            told = verdict_loss(discriminator(real), True) + verdict_loss(discriminator(generated.detach()), False)
            descend(of_discriminator, told)
            descend(of_generator, verdict_loss(discriminator(generated), True))

    networks = {"generator": generator, "discriminator": discriminator}
    optimizers = {"generator": of_generator, "discriminator": of_discriminator}
    fit(Training("training", networks, optimizers, one_epoch), epochs, checkpoints)
    return generator, discriminator


def _pyramid(shape: tuple[int, int, int]) -> Pyramid:
    """Halve images until `SMALLEST`, by convolutions that are twice as wide each."""
    widths, smaller = [WIDTH], min(shape[1:]) // 2
    while smaller > SMALLEST:
        widths.append(2 * widths[-1])
        smaller //= 2
    return Pyramid.over(shape, widths)
