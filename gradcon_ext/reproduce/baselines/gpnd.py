"""Generative probabilistic novelty detection with an adversarial autoencoder (Pidhorskyi et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.adversaries import adam, verdict_loss
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, shuffled
from gradcon_ext.reproduce.baselines.gpnd_density import InlierDensity, singular_values
from gradcon_ext.reproduce.baselines.pyramid import Pyramid, dense
from gradcon_ext.training.seeding import seeded

CODE = 16
WIDTH = 32
"""The unit of all widths; 128 in the authors' networks."""
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
DECAY = 0.25
"""What the learning rate is multiplied with after three and after six eighths of the epochs."""
WEIGHT_OF_ERROR = 0.3
WEIGHT_OF_CODES = 2.0

_NEGATIVE_SLOPE = 0.2
_CODED_AT_ONCE = 500


class Networks(nn.Module):
    """The autoencoder and the networks that it is trained against; each of these returns logits (N, 1).

    Args:
        shape: (C, H, W) of the images.

    Attributes:
        encoder: from images in [0, 1] to codes (N, `CODE`).
        decoder: back to images.
        of_codes: tells codes of images from normally distributed ones, which it is to call real.
        of_images: tells images from what the decoder makes of normally distributed codes.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        down = Pyramid.over(shape, (WIDTH // 2, 2 * WIDTH, 4 * WIDTH))
        up = Pyramid.over(shape, (WIDTH, 2 * WIDTH, 2 * WIDTH))
        self.encoder = down.downwards(CODE)
        self.decoder = nn.Sequential(up.upwards(CODE), nn.Sigmoid())
        self.of_codes = dense((CODE, WIDTH, WIDTH, 1), nn.LeakyReLU(_NEGATIVE_SLOPE), normalised=False)
        self.of_images = down.downwards(1)


class Game:
    """Networks that are trained against each other, and their optimisers.

    Args:
        networks: in training mode whenever a method is called.
    """

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self._decoder = adam(networks.decoder, lr=LEARNING_RATE)
        self._autoencoder = adam(networks.encoder, networks.decoder, lr=LEARNING_RATE)
        self._judges = adam(networks.of_codes, networks.of_images, lr=LEARNING_RATE)
        self.optimizers = {"decoder": self._decoder, "autoencoder": self._autoencoder, "judges": self._judges}

    def epoch(self, images: Tensor, rate: float) -> None:
        """Pass over images (N, C, H, W) in [0, 1] once, at a learning rate."""
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = rate
        for batch in shuffled(images, BATCH_SIZE):
            self._step(batch)

    def _step(self, images: Tensor) -> None:
        networks = self.networks
        normal = torch.randn(len(images), CODE)
        made = networks.decoder(normal)
        codes = networks.encoder(images)
        descend(self._judges, self._loss_of_judges(images, codes.detach(), normal, made.detach()))
        descend(self._decoder, verdict_loss(networks.of_images(made), True))
        error = binary_cross_entropy(networks.decoder(codes), images)
        deceit = verdict_loss(networks.of_codes(codes), True)
        descend(self._autoencoder, WEIGHT_OF_ERROR * error + WEIGHT_OF_CODES * deceit)

    def _loss_of_judges(self, images: Tensor, codes: Tensor, normal: Tensor, made: Tensor) -> Tensor:
        """Sum over networks that have no weight in common."""
        networks = self.networks
        return (
            verdict_loss(networks.of_codes(codes), False)
            + verdict_loss(networks.of_codes(normal), True)
            + verdict_loss(networks.of_images(made), False)
            + verdict_loss(networks.of_images(images), True)
        )


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the negative log-likelihood, after the last epoch; `validation` does not matter; see `Baseline.score`.

    Readings of what the paper leaves open, after the authors' published code where it says anything: codes have 16
    features; the weights of the losses, the learning rate and its falls, which are put at the same shares of the
    epochs; the histogram. The Jacobian is that of the decoder and the space of the residual has all dimensions that
    the codes leave, as the paper has it, where their code has changed over time. All networks have a quarter of the
    authors' channels.
    """
    _, channels, height, width = train.shape
    images, scored = (torch.from_numpy(some).float() / 255 for some in (train, test))
    with seeded(torch.device("cpu"), seed):
        networks = Networks((channels, height, width))
        game = Game(networks)

        def one_epoch(epoch: int) -> None:
            game.epoch(images, learning_rate(epoch, epochs))

        fit(Training("training", {"networks": networks}, game.optimizers, one_epoch), epochs, checkpoints)
    learned, found = (coded(networks, some) for some in (images, scored))
    density = InlierDensity.fit(learned.codes, learned.norms)
    values = singular_values(networks.decoder, torch.from_numpy(found.codes).float()).double().numpy()
    return -density.log_likelihood(found.codes, found.norms, values, channels * height * width)


def learning_rate(epoch: int, epochs: int) -> float:
    """Return that of an epoch, counted from 0, of so many; it never falls before the first has passed."""
    falls = [max(1, epochs * eighths // 8) for eighths in (3, 6)]
    return LEARNING_RATE * DECAY ** sum(epoch >= fall for fall in falls)


class Coded(NamedTuple):
    """What an autoencoder makes of images.

    Attributes:
        codes: (N, D).
        norms: of what is left of each image without its reconstruction, (N,).
    """

    codes: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]


@torch.no_grad()
def coded(networks: Networks, images: Tensor) -> Coded:
    """Encode and decode images (N, C, H, W) in [0, 1], by networks in evaluation mode."""
    codes, norms = [], []
    for batch in torch.split(images, _CODED_AT_ONCE):
        codes.append(networks.encoder(batch))
        norms.append((batch - networks.decoder(codes[-1])).flatten(1).norm(dim=1))
    return Coded(torch.cat(codes).double().numpy(), torch.cat(norms).double().numpy())
