"""The convolutional autoencoders of the paper, for images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.architecture import (
    ENCODER_LAYERS,
    ENCODER_PADDING,
    KERNEL,
    STRIDE,
    Architecture,
    downsampled,
    upsampling,
)
from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.losses import VariationalOutput, evidence_bound, squared_error


class _Autoencoder(nn.Module):
    """Four strided convolutions down to a latent image, and four transposed ones back."""

    def __init__(self, channels: int = 1, size: Size = 28, width: int = 32) -> None:
        super().__init__()
        self.channels = _positive(channels, "channels")
        self.size = height_width(size)
        self.width = _positive(width, "width")

        latent_size = self.size
        for _ in range(ENCODER_LAYERS):
            latent_size = (downsampled(latent_size[0]), downsampled(latent_size[1]))
        self.latent_shape = (2 * width, *latent_size)
        self.encoder = nn.Sequential(*_encoder_layers((channels, width, width, 2 * width, 2 * width)))
        self.decoder = nn.Sequential(
            *_decoder_layers((2 * width, 2 * width, width, width, channels), latent_size, self.size)
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """The class name and constructor arguments, as JSON can hold them; `build` takes them back."""
        return {
            "name": type(self).__name__,
            "channels": self.channels,
            "size": list(self.size),
            "width": self.width,
        }

    @torch.no_grad()
    def start_at(self, brightness: Tensor) -> None:
        """Let the first reconstructions be about as bright as the images; see `gradcon_ext.training.dead_start`.

        Args:
            brightness: mean of the images' pixels in each channel, (C,), in [0, 1].
        """
        last = self.decoder[-2]
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        last.bias.copy_(torch.logit(brightness, eps=1e-3))

    def _encode(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1:] != (self.channels, *self.size):
            raise ValueError(
                f"expected images of shape (N, {self.channels}, {self.size[0]}, {self.size[1]}), "
                f"got {tuple(images.shape)}"
            )
        latent: Tensor = self.encoder(images)
        return latent


class ConvAutoencoder(_Autoencoder):
    """The paper's convolutional autoencoder (CAE), trained on the mean squared error.

    The encoder is four convolutions (kernel 4, stride 2, padding 2) with `width`, `width`, `2 * width` and
    `2 * width` channels, each followed by a ReLU. The decoder is four transposed convolutions back, with ReLUs
    between and a sigmoid at the end. At 28x28 all sizes are the published ones; at other sizes the paddings of
    the decoder depart from the published as little as it takes to return to exactly the input's size.

    Args:
        channels: channels C of the images.
        size: height and width of the images in pixels, or one number for square images.
        width: channels of the first layer.

    Raises:
        ValueError: a size, the channels or the width is not a positive integer.
    """

    loss = staticmethod(squared_error)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W) with pixels in [0, 1].

        Raises:
            ValueError: the images are not (N, channels, height, width) of this model.
        """
        reconstruction: Tensor = self.decoder(self._encode(images))
        return reconstruction


class ConvVariationalAutoencoder(_Autoencoder):
    """The paper's variational autoencoder (VAE), trained on the evidence lower bound.

    Encoder and decoder are those of `ConvAutoencoder`. Between them, linear layers of the latent image's size
    give the mean and log variance of the code, and expand a code to the decoder's input. The code is sampled in
    training mode and is its mean in evaluation mode.

    Args:
        channels: channels C of the images.
        size: height and width of the images in pixels, or one number for square images.
        width: channels of the first layer.

    Raises:
        ValueError: a size, the channels or the width is not a positive integer.
    """

    loss = staticmethod(evidence_bound)
    reparameterized = True  # What `gradcon_ext.training.objective.Objective` asks of a model to train it fused.

    def __init__(self, channels: int = 1, size: Size = 28, width: int = 32) -> None:
        super().__init__(channels, size, width)
        features = torch.Size(self.latent_shape).numel()
        self.mean = nn.Linear(features, features)
        self.log_variance = nn.Linear(features, features)
        self.expansion = nn.Linear(features, features)

    def forward(self, images: Tensor) -> VariationalOutput:
        """Reconstruct images (N, C, H, W) with pixels in [0, 1], and tell the distribution of their codes.

        Raises:
            ValueError: the images are not (N, channels, height, width) of this model.
        """
        features = self._encode(images).flatten(1)
        mean, log_variance = self.mean(features), self.log_variance(features)
        code = mean
        if self.training:
            code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        latent = self.expansion(code).unflatten(1, self.latent_shape)
        return VariationalOutput(self.decoder(latent), mean, log_variance)


_BY_NAME: dict[str, type[_Autoencoder]] = {
    model.__name__: model for model in (ConvAutoencoder, ConvVariationalAutoencoder)
}


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """Make a model, with new weights, from the `architecture` of another.

    Raises:
        ValueError: the name is unknown, the other entries are not arguments of the model, or it would have more weights
            than `gradcon_ext.chain.architecture.LARGEST_MODEL`; nothing has been allocated then.
    """
    known = Architecture.read(architecture)
    return _BY_NAME[known.name](known.channels, known.size, known.width)


def of_name(name: str) -> type[nn.Module]:
    """Return the class of a model by its name in an `architecture`."""
    return _BY_NAME[name]


def _encoder_layers(channels: Sequence[int]) -> Iterator[nn.Module]:
    for given, made in pairwise(channels):
        yield nn.Conv2d(given, made, KERNEL, STRIDE, ENCODER_PADDING)
        yield nn.ReLU()


def _decoder_layers(
    channels: Sequence[int], latent_size: tuple[int, int], size: tuple[int, int]
) -> Iterator[nn.Module]:
    rows = upsampling(latent_size[0], size[0])
    columns = upsampling(latent_size[1], size[1])
    for layer, (row, column) in enumerate(zip(rows, columns, strict=True)):
        yield nn.ConvTranspose2d(
            channels[layer],
            channels[layer + 1],
            KERNEL,
            STRIDE,
            padding=(row.padding, column.padding),
            output_padding=(row.output_padding, column.output_padding),
        )
        yield nn.Sigmoid() if layer == len(rows) - 1 else nn.ReLU()


def _positive(value: int, name: str) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value
