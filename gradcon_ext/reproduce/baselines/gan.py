"""The discriminator of a generative adversarial network (Radford et al., 2016)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.adversaries import scaled
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.dcgan import BATCH_SIZE, train_gan
from gradcon_ext.reproduce.baselines.fitting import in_batches
from gradcon_ext.training.seeding import seeded


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by how much the discriminator takes an image for a generated one, in logits, after the last epoch.

    `validation` does not matter; see `Baseline.score`.
    """
    with seeded(torch.device("cpu"), seed):
        _, discriminator = train_gan(scaled(train), epochs, checkpoints)
    return -in_batches(discriminator, scaled(test), BATCH_SIZE).squeeze(1).double().numpy()
