"""A model as a chain of layers, in names and numbers alone: what the fused engine runs and a file can hold.

The runtime without torch reads it too, so this module imports nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeVar

Shape = tuple[int, int, int]
Pair = tuple[int, int]

INTEGERS_PER_LAYER = 14
"""Integers of a layer in an encoded program."""

LOSSES = ("squared_error", "evidence_bound")
"""Names of the losses, those of the functions in `gradcon_ext.losses`."""


class NotAChain(ValueError):  # noqa: N818
    """The fused engine does not run this model, for the reason that the message gives."""


class Kind(IntEnum):
    """What a layer computes; the numbers are those of the encoded program."""

    CONV = 0
    CONV_TRANSPOSED = 1
    LINEAR = 2
    BOTTLENECK = 3
    AFFINE = 4
    UPSAMPLE = 5
    RESHAPE = 6
    RELU = 7
    LEAKY_RELU = 8
    ELU = 9
    GELU = 10
    GELU_TANH = 11
    SIGMOID = 12
    TANH = 13


CONVOLUTIONS = frozenset((Kind.CONV, Kind.CONV_TRANSPOSED))
CONSTRAINABLE = CONVOLUTIONS | {Kind.LINEAR}
"""Kinds whose weight gradients may have a reference."""
_FLAT = frozenset((Kind.LINEAR, Kind.BOTTLENECK))
_WITH_CONSTANT = frozenset((Kind.LEAKY_RELU, Kind.ELU))


@dataclass(frozen=True)
class Source:
    """Where a parameter's numbers are in a model's state dict.

    Attributes:
        kind: "tensor" for an entry of the state dict; "scale" or "shift" for what a BatchNorm module in eval mode
            multiplies with and adds: scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale,
            where a weight or bias that the state dict lacks is 1 or 0.
        name: of the entry, or of the module.
        eps: of the BatchNorm module.
    """

    kind: str
    name: str
    eps: float = 0.0


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: what it computes.
        shape: of its output, (C, H, W); F features in a row are (F, 1, 1).
        weight: index of the weight, or of an affine layer's scale, among the parameters, or -1. A bottleneck has four
            parameters in a row: weight and bias of the mean, weight and bias of the log variance.
        bias: index of the bias, or of an affine layer's shift, or -1.
        reference: index of the weight's reference, or -1.
        stride: of a convolution, as in `torch.nn.Conv2d`.
        padding: of a convolution, by zeros.
        dilation: of a convolution.
        groups: of a convolution.
        constant: negative slope of a leaky ReLU, or alpha of an ELU.
    """

    kind: Kind
    shape: Shape
    weight: int = -1
    bias: int = -1
    reference: int = -1
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    constant: float = 0.0

    @property
    def parameters(self) -> list[int]:
        """Indices of all parameters that the layer reads."""
        indices = [index for index in (self.weight, self.bias) if index != -1]
        return indices + [index + 2 for index in indices] if self.kind == Kind.BOTTLENECK else indices

    @property
    def encoded(self) -> list[int]:
        """The layer's integers in a program, `INTEGERS_PER_LAYER` of them."""
        settings = (*self.stride, *self.padding, *self.dilation, self.groups)
        return [int(self.kind), self.weight, self.bias, self.reference, *self.shape, *settings]


@dataclass(frozen=True)
class Chain:
    """An autoencoder whose every layer reads the layer before it, and its loss.

    Attributes:
        image_shape: of an image and of its reconstruction, (C, H, W).
        layers: in the order in which they run.
        parameters: where the layers' parameters come from; each is used once.
        references: names of the constrained weights, in the order of the columns of the cosine.
        loss: one of `LOSSES`. The evidence bound needs exactly one bottleneck, and the squared error none.

    Raises:
        ValueError: the layers do not fit each other, the parameters or the references.
    """

    image_shape: Shape
    layers: tuple[Layer, ...]
    parameters: tuple[Source, ...]
    references: tuple[str, ...]
    loss: str

    def __post_init__(self) -> None:
        _check_shape(self.image_shape, "images")
        for source in self.parameters:
            _check_source(source)
        shape = self.image_shape
        for position, layer in enumerate(self.layers):
            what = f"layer {position} ({layer.kind.name.lower()})"
            _check_shape(layer.shape, what)
            _check_settings(layer, what)
            _check_step(layer, shape, what)
            shape = layer.shape
        if shape != self.image_shape:
            raise ValueError(f"the reconstruction has shape {shape}, the image {self.image_shape}")
        self._check_parameters()
        self._check_loss()

    @cached_property
    def program(self) -> list[int]:
        """The layers as the op takes them, `INTEGERS_PER_LAYER` integers each."""
        return [number for layer in self.layers for number in layer.encoded]

    @cached_property
    def constants(self) -> list[float]:
        """One number a layer, as the op takes them."""
        return [layer.constant for layer in self.layers]

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
        return _read(cls, _CHAIN_ENTRIES, entry)

    def _check_parameters(self) -> None:
        used = Counter(index for layer in self.layers for index in layer.parameters)
        if used != Counter(range(len(self.parameters))):
            raise ValueError(f"expected each of {len(self.parameters)} parameters to be used once, got {dict(used)}")
        for layer in self.layers:
            expected = ["scale", "shift"] if layer.kind == Kind.AFFINE else ["tensor"] * len(layer.parameters)
            given = [self.parameters[index].kind for index in layer.parameters]
            if given != expected:
                raise ValueError(f"expected parameters {expected} of a layer {layer.kind.name.lower()}, got {given}")
        referred = Counter(layer.reference for layer in self.layers if layer.reference != -1)
        if referred != Counter(range(len(self.references))):
            raise ValueError(f"expected each of {len(self.references)} references once, got {dict(referred)}")

    def _check_loss(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"expected a loss in {list(LOSSES)}, got {self.loss!r}")
        bottlenecks = sum(layer.kind == Kind.BOTTLENECK for layer in self.layers)
        if bottlenecks != (self.loss == "evidence_bound"):
            raise ValueError(f"{bottlenecks} bottlenecks do not fit the loss {self.loss}")


def _check_shape(shape: Shape, what: str) -> None:
    if len(shape) != 3 or any(size < 1 for size in shape):
        raise ValueError(f"{what}: expected three sizes of at least 1, got {list(shape)}")


def _check_source(source: Source) -> None:
    if source.kind not in ("tensor", "scale", "shift") or not 0 <= source.eps < math.inf:
        raise ValueError(f"expected a tensor, or a scale or shift with a finite eps of at least 0, got {source}")


def _check_settings(layer: Layer, what: str) -> None:
    """Check what the layer says of itself."""
    kind = layer.kind
    has_weight, has_bias = layer.weight >= 0, layer.bias >= 0
    if has_weight != (kind <= Kind.AFFINE) or (has_bias and not has_weight) or min(layer.weight, layer.bias) < -1:
        raise ValueError(f"{what}: weight {layer.weight} and bias {layer.bias} do not fit its kind")
    if kind == Kind.AFFINE and not has_bias:
        raise ValueError(f"{what}: expected a shift")
    if kind == Kind.BOTTLENECK and layer.bias != layer.weight + 1:
        raise ValueError(f"{what}: expected its bias behind its weight, got {layer.bias} and {layer.weight}")
    if layer.reference != -1 and (kind not in CONSTRAINABLE or layer.reference < -1):
        raise ValueError(f"{what}: reference {layer.reference} does not fit its kind")
    numbers = (*layer.stride, *layer.dilation, layer.groups)
    if min(numbers) < 1 or min(layer.padding) < 0:
        raise ValueError(f"{what}: expected stride, dilation and groups of at least 1, and no negative padding")
    if kind not in CONVOLUTIONS and (any(number != 1 for number in numbers) or any(layer.padding)):
        raise ValueError(f"{what}: only a convolution has a stride, padding, dilation or groups")
    # With a negative slope an output would not tell any more which side of zero its input was on.
    if not 0 <= layer.constant < math.inf or (layer.constant and kind not in _WITH_CONSTANT):
        raise ValueError(f"{what}: constant {layer.constant} does not fit its kind")


def _check_step(layer: Layer, given: Shape, what: str) -> None:
    """Check the output's shape against the input's. A convolution's depends on its weight, which is not known here."""
    made = layer.shape
    if layer.kind in CONVOLUTIONS:
        fits = True
    elif layer.kind in _FLAT:
        fits = made[1:] == (1, 1)
    elif layer.kind == Kind.RESHAPE:
        fits = math.prod(made) == math.prod(given)
    elif layer.kind == Kind.UPSAMPLE:
        fits = made[0] == given[0] and all(new % old == 0 for new, old in zip(made[1:], given[1:], strict=True))
    else:
        fits = made == given
    if not fits:
        raise ValueError(f"{what}: its output of shape {made} does not fit its input of shape {given}")


def _without_defaults(entry: Layer | Source) -> dict[str, Any]:
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    defaults = {field.name: field.default for field in dataclasses.fields(entry)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != defaults[name]
    }


_Made = TypeVar("_Made")
_Reader = Callable[[Any], Any]


def _read(make: Callable[..., _Made], readers: Mapping[str, _Reader], entry: Any) -> _Made:
    if not isinstance(entry, Mapping) or not entry.keys() <= readers.keys():
        raise ValueError(f"expected an object with entries among {list(readers)}, got {_shortened(entry)}")
    values = {name: readers[name](value) for name, value in entry.items()}
    try:
        return make(**values)
    except TypeError as error:
        raise ValueError(f"an entry of {_shortened(entry)} is missing: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shortened(value)}")
    return value


def _integer(value: Any) -> int:
    # JSON's true and false are no numbers, though Python's are.
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise ValueError(f"expected a whole number below 2^31, got {_shortened(value)}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"expected a number, got {_shortened(value)}")
    return value


def _items(value: Any, read: _Reader, count: int | None = None) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or (count is not None and len(value) != count):
        raise ValueError(f"expected a list{'' if count is None else f' of {count}'}, got {_shortened(value)}")
    return tuple(map(read, value))


def _kind(value: Any) -> Kind:
    kinds = {kind.name.lower(): kind for kind in Kind}
    if not isinstance(value, str) or value not in kinds:
        raise ValueError(f"expected a kind in {list(kinds)}, got {_shortened(value)}")
    return kinds[value]


def _shape(value: Any) -> tuple[Any, ...]:
    return _items(value, _integer, 3)


def _pair(value: Any) -> tuple[Any, ...]:
    return _items(value, _integer, 2)


def _shortened(value: Any) -> str:
    return repr(value)[:80]


_LAYER_ENTRIES: dict[str, _Reader] = {
    "kind": _kind,
    "shape": _shape,
    "weight": _integer,
    "bias": _integer,
    "reference": _integer,
    "stride": _pair,
    "padding": _pair,
    "dilation": _pair,
    "groups": _integer,
    "constant": _number,
}
_SOURCE_ENTRIES: dict[str, _Reader] = {"kind": _text, "name": _text, "eps": _number}
_CHAIN_ENTRIES: dict[str, _Reader] = {
    "image_shape": _shape,
    "layers": lambda value: _items(value, lambda entry: _read(Layer, _LAYER_ENTRIES, entry)),
    "parameters": lambda value: _items(value, lambda entry: _read(Source, _SOURCE_ENTRIES, entry)),
    "references": lambda value: _items(value, _text),
    "loss": _text,
}
