"""AnoGAN, the search for an image among those of a generator (Schlegl et al., 2017).

The search has 10 steps for each epoch of training, up to the 500 of the paper: a quick look at all tables would spend
most of its time on it. So a generator that was trained for 50 epochs or more is searched as in the paper.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.adversaries import scaled
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.dcgan import Discriminator, Generator, draw_codes, train_gan
from gradcon_ext.reproduce.baselines.fitting import Training, fit
from gradcon_ext.training.seeding import seeded

MOST_STEPS = 500
"""Those of Schlegl et al. (2017)."""
STEPS_PER_EPOCH = 10
"""Steps of the search for each epoch of training, up to `MOST_STEPS`."""

FEATURE_SHARE = 0.1
"""Of the loss, that of features; the rest is that of pixels."""

LEARNING_RATE = 0.02
BATCH_SIZE = 250


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by how far an image is from the nearest one that a generator of the training images was found to make.

    The networks are those of the GAN baseline. The search has `STEPS_PER_EPOCH` steps for each epoch
    of training, up to `MOST_STEPS`.

    `validation` does not matter; see `Baseline.score`.
    """
    images = scaled(test)
    with seeded(torch.device("cpu"), seed):
        generator, discriminator = train_gan(scaled(train), epochs, checkpoints)
        # One start for all images, so that the score of none depends on which others there are.
        codes = draw_codes(1).repeat(len(images), 1)
    for network in (generator, discriminator):
        network.requires_grad_(False)
    steps = min(MOST_STEPS, STEPS_PER_EPOCH * epochs)
    return search(generator, discriminator, images, codes, steps, checkpoints).double().numpy()


def search(
    generator: Generator,
    discriminator: Discriminator,
    images: Tensor,
    codes: Tensor,
    steps: int,
    checkpoints: Checkpoints,
) -> Tensor:
    """Descend from codes to those of the most similar images, and return the loss (N,) at these.

    Each code has a descent of its own, by Adam. As in Schlegl et al. (2017, section 2.2) the loss is 0.9 times the sum
    of the absolute differences of pixels and 0.1 times that of the features in front of the discriminator's last layer.

    Args:
        generator: in evaluation mode.
        discriminator: likewise.
        images: to be found, (N, C, H, W) with pixels in [-1, 1].
        codes: to begin at, (N, CODE).
        steps: a multiple of `STEPS_PER_EPOCH`.
        checkpoints: of the search.
    """
    found = nn.ParameterList(torch.split(codes.clone(), BATCH_SIZE))
    optimizer = torch.optim.Adam(found.parameters(), LEARNING_RATE)
    batches = torch.split(images, BATCH_SIZE)
    with torch.no_grad():
        features = [discriminator.features(batch) for batch in batches]

    def losses(number: int) -> Tensor:
        made = generator(found[number])
        pixels = (made - batches[number]).abs().flatten(1).sum(1)
        unlike = (discriminator.features(made) - features[number]).abs().sum(1)
        weighted: Tensor = (1 - FEATURE_SHARE) * pixels + FEATURE_SHARE * unlike
        return weighted

    def several_steps(epoch: int) -> None:
        for _ in range(STEPS_PER_EPOCH):
            optimizer.zero_grad()
            for number in range(len(batches)):
                torch.autograd.backward(losses(number).sum())
            optimizer.step()

    training = Training("search", {"codes": found}, {"adam": optimizer}, several_steps)
    fit(training, steps // STEPS_PER_EPOCH, checkpoints)
    with torch.no_grad():
        return torch.cat([losses(number) for number in range(len(batches))])
