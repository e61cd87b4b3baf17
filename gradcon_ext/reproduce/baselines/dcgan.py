"""Deep convolutional generative adversarial networks (Radford et al., 2016), at the size of the images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, shuffled
from gradcon_ext.reproduce.baselines.halving import Size, doubling, halved, halving

WIDTH = 16
"""Channels at half the size of the images, an eighth of the paper's; twice as many at each half of that."""
SMALLEST = 8
"""Pixels of the smaller side, down to which images are halved; once at least."""
CODE = 100

BATCH_SIZE = 64
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)
FIRST_DEVIATION = 0.02
"""Of the first weights, whose mean is 0, and 1 in normalisations."""

_NEGATIVE_SLOPE = 0.2


class Generator(nn.Module):
    """Codes to images with pixels in [-1, 1]: strided transposed convolutions, batch normalisation and ReLUs.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        ValueError: images too small to be halved.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        sizes, channels = _sizes(shape)
        first = (channels[-1], *sizes[-1])
        project = nn.Linear(CODE, torch.Size(first).numel(), bias=False)
        layers: list[nn.Module] = [project, nn.Unflatten(1, first)]
        for (given, made), size in zip(pairwise(channels[::-1]), sizes[-2::-1], strict=True):
            layers += [nn.BatchNorm2d(given), nn.ReLU(), doubling(given, made, size)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        _draw_weights(self)

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
        sizes, channels = _sizes(shape)
        layers: list[nn.Module] = []
        for given, made in pairwise(channels):
            normalisation = [nn.BatchNorm2d(made)] if layers else []
            layers += [halving(given, made), *normalisation, nn.LeakyReLU(_NEGATIVE_SLOPE)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(torch.Size((channels[-1], *sizes[-1])).numel(), 1)
        _draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit (N,) of images (N, C, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits.squeeze(1)


def scaled(images: ImageArray) -> Tensor:
    """Bring the pixels of images to [-1, 1], the range of the generator."""
    return torch.from_numpy(images).float() / 127.5 - 1


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
    of_generator, of_discriminator = (
        torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS) for network in (generator, discriminator)
    )

    def one_epoch(epoch: int) -> None:
        for real in shuffled(images, BATCH_SIZE):
            generated = generator(draw_codes(len(real)))
            told = _cross_entropy(discriminator(real), 1) + _cross_entropy(discriminator(generated.detach()), 0)
            descend(of_discriminator, told)
            descend(of_generator, _cross_entropy(discriminator(generated), 1))

    networks = {"generator": generator, "discriminator": discriminator}
    optimizers = {"generator": of_generator, "discriminator": of_discriminator}
    fit(Training("training", networks, optimizers, one_epoch), epochs, checkpoints)
    return generator, discriminator


def _cross_entropy(logits: Tensor, label: int) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _sizes(shape: tuple[int, int, int]) -> tuple[list[Size], list[int]]:
    """(H, W) of the images and after each halving, and the channels there."""
    channels, height, width = shape
    sizes = [(height, width)]
    while len(sizes) == 1 or min(sizes[-1]) > SMALLEST:
        sizes.append(halved(sizes[-1]))
    return sizes, [channels, *(WIDTH << halvings for halvings in range(len(sizes) - 1))]


@torch.no_grad()
def _draw_weights(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.normal_(1, FIRST_DEVIATION)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.weight.normal_(0, FIRST_DEVIATION)
