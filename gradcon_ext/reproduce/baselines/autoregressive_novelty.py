"""AND, an autoencoder beside an autoregressive density of its codes (Abati et al., 2018; as LSA, 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, in_batches, shuffled
from gradcon_ext.reproduce.baselines.ordered import OrderedLinear
from gradcon_ext.reproduce.baselines.residual import ResidualCoder
from gradcon_ext.training.seeding import seeded

CODE = 64
BINS = 100
"""Of each code component, whose range is 0 to 1."""
FEATURES = (8, 8, 8)
"""For each code component, behind each hidden layer of the density; Abati et al. (2019) have four layers of 32."""

BATCH_SIZE = 128
LEARNING_RATE = 1e-3

_NEGATIVE_SLOPE = 0.01


class CodeDensity(nn.Module):
    """A distribution of codes, component after component: of each a histogram, given all before it.

    Fully connected layers whose masks let an output see earlier components only.
    """

    def __init__(self) -> None:
        super().__init__()
        components = torch.arange(CODE)
        given = components
        layers: list[nn.Module] = []
        for features in FEATURES:
            made = components.repeat_interleave(features)
            layers += [OrderedLinear(given, made, strict=not layers), nn.LeakyReLU(_NEGATIVE_SLOPE)]
            given = made
        self.layers = nn.Sequential(*layers, OrderedLinear(given, components.repeat_interleave(BINS)))

    def forward(self, codes: Tensor) -> Tensor:
        """Return the logits (N, CODE, BINS) of the bins of codes (N, CODE)."""
        logits: Tensor = self.layers(codes)
        return logits.reshape(len(codes), CODE, BINS)

    def negative_log_likelihood(self, codes: Tensor) -> Tensor:
        """Return that (N,) of codes with components in [0, 1], in nats.

        Its gradient reaches a code as what the density is given, and not through the bins that it falls into.
        """
        bins = (codes.detach() * BINS).long().clamp(max=BINS - 1)
        of_components: Tensor = cross_entropy(self(codes).transpose(1, 2), bins, reduction="none")
        return of_components.sum(1)


class NoveltyDetector(nn.Module):
    """The autoencoder, with residual blocks, and the density of its codes.

    Args:
        shape: (C, H, W) of the images.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        coder = ResidualCoder.for_images(shape, CODE)
        self.encoder, self.decoder = coder.encoder(), coder.decoder()
        self.density = CodeDensity()

    def forward(self, images: Tensor) -> Tensor:
        """Return two losses (N, 2) of images (N, C, H, W) with pixels in [0, 1].

        They are the sum of squared errors of the reconstruction, and the negative log-likelihood of the code.
        """
        codes = self.encoder(images)
        errors = (self.decoder(codes) - images).square().sum((1, 2, 3))
        return torch.stack((errors, self.density.negative_log_likelihood(codes)), 1)


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the sum of both losses of a `NoveltyDetector`, each brought to the range of `validation`.

    That is the novelty score of Abati et al. (2019, Equations 9 and 10): of each loss, what is above its least of the
    validation images, over the difference between their greatest and their least. The sum of both as they are is
    what training makes small, on `train`, and what chooses the epoch, on `validation`; see `Baseline.score`.
    """
    learned, held_out, scored = (torch.from_numpy(images).float() / 255 for images in (train, validation, test))
    with seeded(torch.device("cpu"), seed):
        model = NoveltyDetector((train.shape[1], train.shape[2], train.shape[3]))
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

        def one_epoch(epoch: int) -> None:
            for batch in shuffled(learned, BATCH_SIZE):
                descend(optimizer, model(batch).sum(1).mean())

        def validation_loss() -> float:
            return in_batches(model, held_out, BATCH_SIZE).sum(1).mean().item()

        training = Training("training", {"model": model}, {"adam": optimizer}, one_epoch, validation_loss)
        fit(training, epochs, checkpoints)
    known, losses = (in_batches(model, images, BATCH_SIZE).double() for images in (held_out, scored))
    return normalised(losses, known).sum(1).numpy()


def normalised(losses: Tensor, known: Tensor) -> Tensor:
    """Bring losses (N, L) to the range that known ones (V, L) have; that of a single value has width 1."""
    least, width = known.amin(0), known.amax(0) - known.amin(0)
    return (losses - least) / torch.where(width > 0, width, 1)
