"""The autoencoders of `gradcon_ext.models` as chains of layers, without torch: what a detector's file should hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gradcon_ext.chain.chain import Chain, Layer, LayerKind, Shape, Source
from gradcon_ext.chain.upsampling import (
    ENCODER_PADDING,
    KERNEL,
    MOST_DEPTH,
    PUBLISHED_DEPTH,
    STRIDE,
    downsampled,
    latent_side,
    upsampling,
)

LARGEST_MODEL = 2**30
"""Numbers that the weights of a model may have in all."""

FEATURES = "FeatureAutoencoder"
_LOSSES = {
    "ConvAutoencoder": "squared_error",
    "ConvVariationalAutoencoder": "evidence_bound",
    FEATURES: "squared_error",
}
_LINEAR = ("mean", "log_variance", "expansion")


@dataclass(frozen=True)
class Architecture:
    """The name and the constructor's arguments of one of `gradcon_ext.models`.

    Raises:
        ValueError: an unknown name, a number that is not a positive whole one, a depth beyond `MOST_DEPTH`, or more
            weights than `LARGEST_MODEL`.
    """

    name: str
    channels: int = 1
    size: tuple[int, int] = (28, 28)
    width: int = 32
    depth: int = PUBLISHED_DEPTH

    def __post_init__(self) -> None:
        if self.name not in _LOSSES:
            raise ValueError(f"expected an architecture named one of {sorted(_LOSSES)}, got {self.name!r}")
        for number in (self.channels, *self.size, self.width, self.depth):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"expected positive whole numbers, got {str(number)[:40]}")
        if self.depth > MOST_DEPTH:
            raise ValueError(f"expected a depth of {MOST_DEPTH} at most, got {str(self.depth)[:40]}")
        numbers = sum(map(math.prod, self.shapes.values()))
        if numbers > LARGEST_MODEL:
            raise ValueError(f"it would have {numbers:.3g} weights; expected {LARGEST_MODEL} at most")

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Architecture:
        """Read the `architecture` of a model, also after a round trip through JSON.

        Raises:
            ValueError: as above, or an entry is unknown.
        """
        name = entry.get("name")
        if not isinstance(name, str) or name not in _LOSSES:
            raise ValueError(f"expected an architecture named one of {sorted(_LOSSES)}, got {repr(name)[:40]}")
        size = entry.get("size", 28)
        pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
        try:
            if len(pair) != 2:
                raise ValueError(f"expected a size of two numbers, got {len(pair)}")
            if name == FEATURES and "depth" in entry:
                raise ValueError("it has no depth")
            return cls(**{**entry, "size": pair})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} cannot be built from {str(dict(entry))[:200]}: {error}") from error

    @property
    def entry(self) -> dict[str, Any]:
        """What `read` takes, as JSON can hold it; a depth that is the published one is left out, as it once was."""
        entry = {"name": self.name, "channels": self.channels, "size": list(self.size), "width": self.width}
        return entry if self.depth == PUBLISHED_DEPTH else {**entry, "depth": self.depth}

    @property
    def takes_features(self) -> bool:
        """Whether the model is given feature maps, whose values may be any, in place of pixels from 0 to 1."""
        return self.name == FEATURES

    @property
    def latent_shape(self) -> Shape:
        """Of the encoder's output, (C, H, W)."""
        if self.takes_features:
            return (self.width, 1, 1)
        rows, columns = (latent_side(length, self.depth) for length in self.size)
        return (self.encoder_channels[-1], rows, columns)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors in the model's state dict, by their names."""
        if self.takes_features:
            weight = (self.width, self.channels, *self.size)
            return _weight_and_bias("encoder.0", weight, self.width) | _weight_and_bias(
                "decoder.0", weight, self.channels
            )
        shapes: dict[str, tuple[int, ...]] = {}
        for position, (given, made) in enumerate(pairwise(self.encoder_channels)):
            shapes |= _weight_and_bias(f"encoder.{2 * position}", (made, given, KERNEL, KERNEL), made)
        if self.name == "ConvVariationalAutoencoder":
            features = math.prod(self.latent_shape)
            for name in _LINEAR:
                shapes |= _weight_and_bias(name, (features, features), features)
        for position, (given, made) in enumerate(pairwise(reversed(self.encoder_channels))):
            shapes |= _weight_and_bias(f"decoder.{2 * position}", (given, made, KERNEL, KERNEL), made)
        return shapes

    def chain(self, references: Sequence[str]) -> Chain:
        """Return the chain of layers that the model is.

        Args:
            references: names of the constrained weights.

        Raises:
            ValueError: one is not the weight of a layer that may be constrained, or the chain is too large.
        """
        sources = [name for name in self.shapes if name.endswith(".weight")]
        layers = list(self._layers([references.index(name) if name in references else -1 for name in sources]))
        parameters = tuple(Source("tensor", name) for name in self.shapes)
        return Chain((self.channels, *self.size), tuple(layers), parameters, tuple(references), _LOSSES[self.name])

    @property
    def encoder_channels(self) -> tuple[int, ...]:
        """Of the images, and of what each convolution makes: the first two narrow, if there are more, others wide."""
        narrow = min(2, self.depth - 1)
        return (self.channels, *[self.width] * narrow, *[2 * self.width] * (self.depth - narrow))

    def _layers(self, references: Sequence[int]) -> Iterator[Layer]:
        """The layers, given the index of the reference of each weight."""
        if self.takes_features:
            yield Layer(LayerKind.CONV, self.latent_shape, 0, 1, references[0])
            yield Layer(LayerKind.CONV_TRANSPOSED, (self.channels, *self.size), 2, 3, references[1])
        else:
            yield from self._image_layers(references)

    def _image_layers(self, references: Sequence[int]) -> Iterator[Layer]:
        weight = 0
        shape: Shape = (self.channels, *self.size)
        for made in self.encoder_channels[1:]:
            shape = (made, downsampled(shape[1]), downsampled(shape[2]))
            padding = (ENCODER_PADDING, ENCODER_PADDING)
            index = references[weight // 2]
            yield Layer(LayerKind.CONV, shape, weight, weight + 1, index, (STRIDE, STRIDE), padding)
            yield Layer(LayerKind.RELU, shape)
            weight += 2
        if self.name == "ConvVariationalAutoencoder":
            flat = (math.prod(shape), 1, 1)
            if shape != flat:
                yield Layer(LayerKind.RESHAPE, flat)
            yield Layer(LayerKind.BOTTLENECK, flat, weight, weight + 1)
            yield Layer(LayerKind.LINEAR, flat, weight + 4, weight + 5, references[weight // 2 + 2])
            if shape != flat:
                yield Layer(LayerKind.RESHAPE, shape)
            weight += 6
        rows, columns = (upsampling(*pair, self.depth) for pair in zip(shape[1:], self.size, strict=True))
        for position, (row, column) in enumerate(zip(rows, columns, strict=True)):
            made = self.encoder_channels[-2 - position]
            shape = (made, row.size_from(shape[1]), column.size_from(shape[2]))
            padding = (row.padding, column.padding)
            index = references[weight // 2]
            yield Layer(LayerKind.CONV_TRANSPOSED, shape, weight, weight + 1, index, (STRIDE, STRIDE), padding)
            yield Layer(LayerKind.SIGMOID if position == len(rows) - 1 else LayerKind.RELU, shape)
            weight += 2


def _weight_and_bias(name: str, weight: tuple[int, ...], bias: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": (bias,)}
