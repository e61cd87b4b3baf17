"""The convolutional autoencoders of the paper, for images of any size, and one for feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.architecture import Architecture
from gradcon_ext.chain.upsampling import ENCODER_PADDING, KERNEL, PUBLISHED_DEPTH, STRIDE, fitting_depth, upsampling
from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.whole_numbers import is_whole
from gradcon_ext.losses import VariationalOutput, evidence_bound, squared_error

__all__ = ["ConvAutoencoder", "ConvVariationalAutoencoder", "FeatureAutoencoder", "build", "fitting_depth", "of_name"]


class _Autoencoder(nn.Module):
    """What the models have in common: their description, and how they come by their input."""

    encoder: nn.Module
    _name: str
    """Of the class in an `architecture`; one derived from it, which may compute something else, has its own there."""

    def __init__(self, channels: int, size: Size, width: int, depth: int = PUBLISHED_DEPTH) -> None:
        super().__init__()
        self.channels = _positive(channels, "channels")
        self.size = height_width(size)
        self.width = _positive(width, "width")
        self.depth = _positive(depth, "depth")
        self._known = Architecture(self._name, channels, self.size, width, depth)
        self.latent_shape = self._known.latent_shape

    @property
    def architecture(self) -> dict[str, Any]:
        """The class name and constructor arguments, as JSON can hold them; `build` takes them back."""
        return {**self._known.entry, "name": type(self).__name__}

    def _encode(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1:] != (self.channels, *self.size):
            raise ValueError(
                f"expected images of shape (N, {self.channels}, {self.size[0]}, {self.size[1]}), "
                f"got {tuple(images.shape)}"
            )
        latent: Tensor = self.encoder(images)
        return latent


class _ImageAutoencoder(_Autoencoder):
    """Strided convolutions down to a latent image, and as many transposed ones back."""

    def __init__(self, channels: int = 1, size: Size = 28, width: int = 32, depth: int = PUBLISHED_DEPTH) -> None:
        super().__init__(channels, size, width, depth)
        widths = self._known.encoder_channels
        self.encoder = nn.Sequential(*_encoder_layers(widths))
        self.decoder = nn.Sequential(*_decoder_layers(widths[::-1], self.latent_shape[1:], self.size))

    @torch.no_grad()
    def start_at(self, brightness: Tensor) -> None:
        """Let the first reconstructions be about as bright as the images; see `gradcon_ext.training.dead_start`.

        Args:
            brightness: mean of the images' pixels in each channel, (C,), in [0, 1].
        """
        last = self.decoder[-2]
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        last.bias.copy_(torch.logit(brightness, eps=1e-3))


class ConvAutoencoder(_ImageAutoencoder):
    """The paper's convolutional autoencoder (CAE), trained on the mean squared error.

    The encoder is four convolutions (kernel 4, stride 2, padding 2) with `width`, `width`, `2 * width` and
    `2 * width` channels, each followed by a ReLU; deeper ones go on with `2 * width`. The decoder is as many transposed
    convolutions back, with ReLUs between and a sigmoid at the end. At 28x28 all sizes are the published ones; at other
    sizes the paddings of the decoder depart from the published as little as it takes to return to exactly the input's
    size.

    Args:
        channels: channels C of the images.
        size: height and width of the images in pixels, or one number for square images.
        width: channels of the first layer.
        depth: convolutions of the encoder, and of the decoder; 4 in the paper. See `fitting_depth`.

    Raises:
        ValueError: a size, the channels, the width or the depth is not a positive integer, or the model too large.
    """

    loss = staticmethod(squared_error)
    _name = "ConvAutoencoder"

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W) with pixels in [0, 1].

        Raises:
            ValueError: the images are not (N, channels, height, width) of this model.
        """
        reconstruction: Tensor = self.decoder(self._encode(images))
        return reconstruction


class ConvVariationalAutoencoder(_ImageAutoencoder):
    """The paper's variational autoencoder (VAE), trained on the evidence lower bound.

    Encoder and decoder are those of `ConvAutoencoder`. Between them, linear layers of the latent image's size
    give the mean and log variance of the code, and expand a code to the decoder's input. The code is sampled in
    training mode and is its mean in evaluation mode.

    Args:
        channels: channels C of the images.
        size: height and width of the images in pixels, or one number for square images.
        width: channels of the first layer.
        depth: convolutions of the encoder, and of the decoder; 4 in the paper. See `fitting_depth`.

    Raises:
        ValueError: a size, the channels, the width or the depth is not a positive integer, or the model too large.
    """

    loss = staticmethod(evidence_bound)
    _name = "ConvVariationalAutoencoder"
    reparameterized = True  # What `gradcon_ext.training.objective.Objective` asks of a model to train it fused.

    def __init__(self, channels: int = 1, size: Size = 28, width: int = 32, depth: int = PUBLISHED_DEPTH) -> None:
        super().__init__(channels, size, width, depth)
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


class FeatureAutoencoder(_Autoencoder):
    """A linear autoencoder of tiles of feature maps, trained on the mean squared error.

    One convolution makes a code of `width` numbers of a whole tile, one transposed convolution makes the tile of it.
    Values may be any: there is no sigmoid at the end.

    Args:
        channels: of the feature maps.
        size: height and width of the tiles in positions of the maps, or one number for square tiles.
        width: numbers of a code.

    Raises:
        ValueError: a size, the channels or the width is not a positive integer, or the model too large.
    """

    loss = staticmethod(squared_error)
    accepts = "features"  # What `gradcon_ext.data.images.takes_features` asks of a model.
    _name = "FeatureAutoencoder"

    def __init__(self, channels: int = 1, size: Size = 1, width: int = 128) -> None:
        super().__init__(channels, size, width)
        self.encoder = nn.Sequential(nn.Conv2d(channels, width, self.size))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(width, channels, self.size))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct tiles (N, C, H, W) of feature maps.

        Raises:
            ValueError: the tiles are not (N, channels, height, width) of this model.
        """
        reconstruction: Tensor = self.decoder(self._encode(images))
        return reconstruction


_BY_NAME: dict[str, type[_Autoencoder]] = {
    model._name: model for model in (ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder)
}


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """Make a model, with new weights, from the `architecture` of another.

    Raises:
        ValueError: the name is unknown, the other entries are not arguments of the model, or it would have more weights
            than `gradcon_ext.chain.architecture.LARGEST_MODEL`; nothing has been allocated then.
    """
    known = Architecture.read(architecture)
    arguments = {name: value for name, value in known.entry.items() if name != "name"}
    return _BY_NAME[known.name](**arguments)


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
    depth = len(channels) - 1
    rows = upsampling(latent_size[0], size[0], depth)
    columns = upsampling(latent_size[1], size[1], depth)
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
    if not is_whole(value, 1):
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)
