"""Gated PixelCNN (van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders")."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.fitting import Training, descend, fit, in_batches, shuffled
from gradcon_ext.reproduce.baselines.logistic import PARAMETERS, log_probability
from gradcon_ext.reproduce.baselines.ordered import OrderedConv2d
from gradcon_ext.training.seeding import seeded

FEATURES = 16
"""Channels of each stack; about a third each for red, green and blue where there are colours."""
LAYERS = 3
FIRST_KERNEL = 7
KERNEL = 3
COMPONENTS = 5
"""Logistic distributions in the mixture of each pixel."""

BATCH_SIZE = 64
LEARNING_RATE = 2e-3


class GatedLayer(nn.Module):
    """A layer of both stacks (Figure 2 of the paper): one sees the rows above a pixel, the other what is left of it.

    Args:
        given: the place of each input channel in the order of colours.
        made: the same of the output channels.
        kernel: height and width of the window, whose lower half stays unseen.
        first: whether the inputs are the pixels, of which an output must not see its own.
    """

    def __init__(self, given: Tensor, made: Tensor, kernel: int, first: bool = False) -> None:
        super().__init__()
        features, both = len(made), torch.cat((made, made))
        self.reach = kernel // 2
        self.first = first
        self.vertical = nn.Conv2d(len(given), 2 * features, (self.reach + 1, kernel))
        self.vertical_to_horizontal = nn.Conv2d(2 * features, 2 * features, 1)
        self.horizontal = OrderedConv2d(given, both, (1, self.reach + 1), strict=first)
        self.output = OrderedConv2d(made, made, (1, 1))

    def forward(self, rows: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map the features of both stacks, (N, C, H, W) each.

        The first ones know their pixel's row and all above; the second ones what comes before their pixel and colour.
        """
        reach = self.reach
        vertical = self.vertical(pad(rows, (reach, reach, reach, 0)))
        above = pad(vertical[:, :, :-1], (0, 0, 1, 0))
        horizontal = self.horizontal(pad(pixels, (reach, 0, 0, 0))) + self.vertical_to_horizontal(above)
        made = self.output(_gated(horizontal))
        return _gated(vertical), made if self.first else pixels + made


class PixelCNN(nn.Module):
    """A distribution of images, pixel by pixel in rows, and in each pixel colour by colour.

    In the place of the paper's softmax over 256 values it has a mixture of logistic distributions (see
    `gradcon_ext.reproduce.baselines.logistic`), which needs a tenth of the numbers. Its layers are fewer
    and narrower than the paper's.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        colours = torch.arange(channels)
        features = torch.arange(FEATURES) * channels // FEATURES
        parameters = colours.repeat(PARAMETERS * COMPONENTS)
        self.first = GatedLayer(colours, features, FIRST_KERNEL, first=True)
        self.layers = nn.ModuleList(GatedLayer(features, features, KERNEL) for _ in range(LAYERS - 1))
        self.hidden = OrderedConv2d(features, features, (1, 1))
        self.head = OrderedConv2d(features, parameters, (1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return the parameters (3, K, N, C, H, W) of each pixel's distribution, given all before it.

        Args:
            values: whole numbers from 0 to 255 in floating point, (N, C, H, W).
        """
        scaled = values / 127.5 - 1
        rows, pixels = self.first(scaled, scaled)
        for layer in self.layers:
            rows, pixels = layer(rows, pixels)
        parameters: Tensor = self.head(relu(self.hidden(relu(pixels))))
        shape = (len(values), PARAMETERS, COMPONENTS, *values.shape[1:])
        return parameters.reshape(shape).permute(1, 2, 0, 3, 4, 5)

    def bits_per_dimension(self, values: Tensor) -> Tensor:
        """Return the negative log-likelihood (N,) of images, in bits for each of their C H W numbers."""
        log_probabilities: Tensor = log_probability(values, self(values))
        return -log_probabilities.mean((1, 2, 3)) / math.log(2)


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the bits for each number that a `PixelCNN` of the training images needs.

    It is that of the epoch that needs the fewest for `validation`; see `Baseline.score`.
    """
    learned, held_out, scored = (torch.from_numpy(images).float() for images in (train, validation, test))
    with seeded(torch.device("cpu"), seed):
        model = PixelCNN(train.shape[1])
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

        def one_epoch(epoch: int) -> None:
            for batch in shuffled(learned, BATCH_SIZE):
                descend(optimizer, model.bits_per_dimension(batch).mean())

        def validation_loss() -> float:
            return in_batches(model.bits_per_dimension, held_out, BATCH_SIZE).mean().item()

        training = Training("training", {"model": model}, {"adam": optimizer}, one_epoch, validation_loss)
        fit(training, epochs, checkpoints)
    return in_batches(model.bits_per_dimension, scored, BATCH_SIZE).double().numpy()


def _gated(features: Tensor) -> Tensor:
    """Multiply the tanh of the first half of the channels by the sigmoid of the second (Equation 2)."""
    values, gates = features.chunk(2, 1)
    return torch.tanh(values) * torch.sigmoid(gates)
