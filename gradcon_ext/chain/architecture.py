"""The paper's autoencoders as chains of layers, without torch: what a detector's file should hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

from gradcon_ext.chain.chain import Chain, Layer, LayerKind, Shape, Source

KERNEL = 4
STRIDE = 2
ENCODER_LAYERS = 4
ENCODER_PADDING = 2
LARGEST_MODEL = 2**30
"""Numbers that the weights of a model may have in all."""

_LOSSES = {"ConvAutoencoder": "squared_error", "ConvVariationalAutoencoder": "evidence_bound"}
_LINEAR = ("mean", "log_variance", "expansion")


class Upsampling(NamedTuple):
    """How one transposed convolution pads one axis."""

    padding: int
    output_padding: int

    def size_from(self, size: int) -> int:
        """Return the size of the output from that of the input."""
        return (size - 1) * STRIDE - 2 * self.padding + KERNEL + self.output_padding


# From 3 to 28 pixels: 3, 4, 8, 14, 28.
_PUBLISHED = (Upsampling(2, 0), Upsampling(1, 0), Upsampling(2, 0), Upsampling(1, 0))


@dataclass(frozen=True)
class Architecture:
    """The name and the constructor's arguments of one of `gradcon_ext.models`.

    Raises:
        ValueError: an unknown name, a number that is not a positive whole one, or more weights than `LARGEST_MODEL`.
    """

    name: str
    channels: int = 1
    size: tuple[int, int] = (28, 28)
    width: int = 32

    def __post_init__(self) -> None:
        if self.name not in _LOSSES:
            raise ValueError(f"expected an architecture named one of {sorted(_LOSSES)}, got {self.name!r}")
        for number in (self.channels, *self.size, self.width):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"expected positive whole numbers, got {str(number)[:40]}")
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
            return cls(**{**entry, "size": pair})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} cannot be built from {str(dict(entry))[:200]}: {error}") from error

    @property
    def latent_shape(self) -> Shape:
        """Of the encoder's output, (C, H, W)."""
        rows, columns = self.size
        for _ in range(ENCODER_LAYERS):
            rows, columns = downsampled(rows), downsampled(columns)
        return (2 * self.width, rows, columns)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors in the model's state dict, by their names."""
        shapes: dict[str, tuple[int, ...]] = {}
        for position, (given, made) in enumerate(pairwise(self._encoder_channels)):
            shapes |= _weight_and_bias(f"encoder.{2 * position}", (made, given, KERNEL, KERNEL), made)
        if self.name == "ConvVariationalAutoencoder":
            features = math.prod(self.latent_shape)
            for name in _LINEAR:
                shapes |= _weight_and_bias(name, (features, features), features)
        for position, (given, made) in enumerate(pairwise(reversed(self._encoder_channels))):
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
    def _encoder_channels(self) -> tuple[int, ...]:
        return (self.channels, self.width, self.width, 2 * self.width, 2 * self.width)

    def _layers(self, references: Sequence[int]) -> Iterator[Layer]:
        """The layers, given the index of the reference of each weight."""
        weight = 0
        shape: Shape = (self.channels, *self.size)
        for made in self._encoder_channels[1:]:
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
        rows, columns = (upsampling(*pair) for pair in zip(shape[1:], self.size, strict=True))
        for position, (row, column) in enumerate(zip(rows, columns, strict=True)):
            made = self._encoder_channels[-2 - position]
            shape = (made, row.size_from(shape[1]), column.size_from(shape[2]))
            padding = (row.padding, column.padding)
            index = references[weight // 2]
            yield Layer(LayerKind.CONV_TRANSPOSED, shape, weight, weight + 1, index, (STRIDE, STRIDE), padding)
            yield Layer(LayerKind.SIGMOID if position == len(rows) - 1 else LayerKind.RELU, shape)
            weight += 2


def downsampled(size: int) -> int:
    """Return the size that a convolution of the encoder makes of another."""
    return (size + 2 * ENCODER_PADDING - KERNEL) // STRIDE + 1


def upsampling(latent_size: int, size: int) -> tuple[Upsampling, ...]:
    """Choose the paddings nearest to the published ones that lead from the latent size to the image's size.

    Padding 2 everywhere mirrors the encoder, with an output padding where an odd size was halved: there always
    is a way.
    """
    options = [Upsampling(padding, output_padding) for padding in (2, 1) for output_padding in (0, 1)]
    ways = (way for way in product(options, repeat=len(_PUBLISHED)) if _leads(way, latent_size, size))
    return min(ways, key=_departures)


def _leads(way: Sequence[Upsampling], start: int, end: int) -> bool:
    size = start
    for step in way:
        size = step.size_from(size)
        if size < 1:
            return False
    return size == end


def _departures(way: Sequence[Upsampling]) -> int:
    return sum(
        (step.padding != published.padding) + (step.output_padding != published.output_padding)
        for step, published in zip(way, _PUBLISHED, strict=True)
    )


def _weight_and_bias(name: str, weight: tuple[int, ...], bias: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": (bias,)}
