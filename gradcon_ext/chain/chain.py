"""A model as a chain of layers, in names and numbers alone: what the fused engine runs and a file can hold.

The runtime without torch reads it too, so this module and what it imports need nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from gradcon_ext.chain.entries import CHAIN_ENTRIES, read
from gradcon_ext.chain.layer import (
    CONSTRAINABLE,
    CONVOLUTIONS,
    LAYER_FIELDS,
    MOST_LAYERS,
    Layer,
    LayerKind,
    Pair,
    Shape,
    Source,
    check_settings,
    check_shape,
    check_source,
    check_step,
)

__all__ = [
    "CONSTRAINABLE",
    "CONVOLUTIONS",
    "LARGEST_OUTPUTS",
    "LAYER_FIELDS",
    "LOSSES",
    "MOST_LAYERS",
    "Chain",
    "EncodedChain",
    "Layer",
    "LayerKind",
    "NotAChain",
    "Pair",
    "Shape",
    "Source",
]

LARGEST_OUTPUTS = 2**28
"""Numbers that the outputs of all layers may have together, for one image."""

LOSSES = ("squared_error", "evidence_bound")
"""Names of the losses, those of the functions in `gradcon_ext.losses`; an encoded chain has their numbers."""


class NotAChain(ValueError):  # noqa: N818
    """The fused engine does not run this model, for the reason that the message gives."""


class EncodedChain(NamedTuple):
    """A chain as the compiled engine takes it; csrc/core/chain.hpp has the same description.

    Attributes:
        program: the integers `LAYER_FIELDS` of each layer, one layer after the other.
        constants: one number a layer.
        loss: its place in `LOSSES`.
    """

    program: tuple[int, ...]
    constants: tuple[float, ...]
    loss: int


@dataclass(frozen=True)
class Chain:
    """An autoencoder whose every layer reads the layer before it, and its loss.

    Attributes:
        image_shape: of an image and of its reconstruction, (C, H, W).
        layers: in the order in which they run.
        parameters: where the layers' parameters come from; each is used once.
        references: names of the constrained weights, in the order of the columns of the cosine.
        loss: one of `LOSSES`. The evidence bound needs exactly one bottleneck, and the squared error none.
        encoded: the layers and the loss, as the compiled engine takes them.

    Raises:
        ValueError: the layers do not fit each other, the parameters or the references; or there are more than
            `MOST_LAYERS`, or more numbers in their outputs than `LARGEST_OUTPUTS`.
    """

    image_shape: Shape
    layers: tuple[Layer, ...]
    parameters: tuple[Source, ...]
    references: tuple[str, ...]
    loss: str
    encoded: EncodedChain = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_shape(self.image_shape, "images")
        for source in self.parameters:
            check_source(source)
        self._check_size()
        shape = self.image_shape
        for position, layer in enumerate(self.layers):
            what = f"layer {position} ({layer.kind.name.lower()})"
            check_shape(layer.shape, what)
            check_settings(layer, what)
            check_step(layer, shape, what)
            shape = layer.shape
        if shape != self.image_shape:
            raise ValueError(f"the reconstruction has shape {shape}, the image {self.image_shape}")
        self._check_parameters()
        self._check_loss()
        # Not at first use: what waits for that in another thread would hang in a process forked meanwhile.
        object.__setattr__(self, "encoded", self._encoded())

    @property
    def code_size(self) -> int:
        """How many numbers of a sample its code has: what the first constrained layer is given."""
        given = self.image_shape
        for layer in self.layers:
            if layer.reference != -1:
                break
            given = layer.shape
        return math.prod(given)

    def to_json(self) -> dict[str, Any]:
        """Return the chain as a dictionary that JSON can hold."""
        return {
            "image_shape": list(self.image_shape),
            "layers": [_without_defaults(layer) | {"kind": layer.kind.name.lower()} for layer in self.layers],
            "parameters": [_without_defaults(source) for source in self.parameters],
            "references": list(self.references),
            "loss": self.loss,
        }

    @classmethod
    def from_json(cls, entry: Any) -> Chain:
        """Read what `to_json` returned, also after a round trip through JSON.

        Raises:
            ValueError: an entry is missing, unknown, of another type, or does not fit the others.
        """
        return read(cls, CHAIN_ENTRIES, entry)

    def _encoded(self) -> EncodedChain:
        program = tuple(number for layer in self.layers for number in layer.encoded)
        return EncodedChain(program, tuple(layer.constant for layer in self.layers), LOSSES.index(self.loss))

    def _check_size(self) -> None:
        """Refuse what no memory would hold, before any is taken."""
        if len(self.layers) > MOST_LAYERS:
            raise ValueError(f"expected {MOST_LAYERS} layers at most, got {len(self.layers)}")
        numbers = math.prod(self.image_shape) + sum(math.prod(layer.shape) for layer in self.layers)
        if numbers > LARGEST_OUTPUTS:
            raise ValueError(f"its layers put out {numbers} numbers an image; expected {LARGEST_OUTPUTS} at most")

    def _check_parameters(self) -> None:
        used = Counter(index for layer in self.layers for index in layer.parameters)
        if used != Counter(range(len(self.parameters))):
            raise ValueError(f"expected each of {len(self.parameters)} parameters to be used once, got {dict(used)}")
        for layer in self.layers:
            expected = ["scale", "shift"] if layer.kind == LayerKind.AFFINE else ["tensor"] * len(layer.parameters)
            given = [self.parameters[index].kind for index in layer.parameters]
            if given != expected:
                raise ValueError(f"expected parameters {expected} of a layer {layer.kind.name.lower()}, got {given}")
        referred = Counter(layer.reference for layer in self.layers if layer.reference != -1)
        if referred != Counter(range(len(self.references))):
            raise ValueError(f"expected each of {len(self.references)} references once, got {dict(referred)}")

    def _check_loss(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"expected a loss in {list(LOSSES)}, got {self.loss!r}")
        bottlenecks = sum(layer.kind == LayerKind.BOTTLENECK for layer in self.layers)
        if bottlenecks != (self.loss == "evidence_bound"):
            raise ValueError(f"{bottlenecks} bottlenecks do not fit the loss {self.loss}")


def _without_defaults(entry: Layer | Source) -> dict[str, Any]:
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    defaults = {field.name: field.default for field in dataclasses.fields(entry)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != defaults[name]
    }
