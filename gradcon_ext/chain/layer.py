"""A layer of a chain, and where its parameters are. No torch here: the runtime without it imports this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

Shape = tuple[int, int, int]
Pair = tuple[int, int]

MOST_LAYERS = 4096
"""Layers that a chain may have."""

LAYER_FIELDS = (
    "kind",
    "weight",
    "bias",
    "reference",
    "channels",
    "rows",
    "columns",
    "stride_rows",
    "stride_columns",
    "padding_rows",
    "padding_columns",
    "dilation_rows",
    "dilation_columns",
    "groups",
)
"""What the integers of a layer in an encoded chain are; those of its shape are of its output."""


class LayerKind(IntEnum):
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


CONVOLUTIONS = frozenset((LayerKind.CONV, LayerKind.CONV_TRANSPOSED))
CONSTRAINABLE = CONVOLUTIONS | {LayerKind.LINEAR}
"""Kinds whose weight gradients may have a reference."""
_FLAT = frozenset((LayerKind.LINEAR, LayerKind.BOTTLENECK))
_WITH_CONSTANT = frozenset((LayerKind.LEAKY_RELU, LayerKind.ELU))


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

    kind: LayerKind
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
        return indices + [index + 2 for index in indices] if self.kind == LayerKind.BOTTLENECK else indices

    @property
    def encoded(self) -> list[int]:
        """The layer's integers in a program, one for each of `LAYER_FIELDS`."""
        settings = (*self.stride, *self.padding, *self.dilation, self.groups)
        return [int(self.kind), self.weight, self.bias, self.reference, *self.shape, *settings]


def check_shape(shape: Shape, what: str) -> None:
    """Check three sizes."""
    if len(shape) != 3 or any(size < 1 for size in shape):
        raise ValueError(f"{what}: expected three sizes of at least 1, got {list(shape)}")


def check_source(source: Source) -> None:
    """Check where a parameter is said to be."""
    if source.kind not in ("tensor", "scale", "shift") or not 0 <= source.eps < math.inf:
        raise ValueError(f"expected a tensor, or a scale or shift with a finite eps of at least 0, got {source}")


def check_settings(layer: Layer, what: str) -> None:
    """Check what the layer says of itself."""
    kind = layer.kind
    has_weight, has_bias = layer.weight >= 0, layer.bias >= 0
    if has_weight != (kind <= LayerKind.AFFINE) or (has_bias and not has_weight) or min(layer.weight, layer.bias) < -1:
        raise ValueError(f"{what}: weight {layer.weight} and bias {layer.bias} do not fit its kind")
    if kind == LayerKind.AFFINE and not has_bias:
        raise ValueError(f"{what}: expected a shift")
    if kind == LayerKind.BOTTLENECK and layer.bias != layer.weight + 1:
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


def check_step(layer: Layer, given: Shape, what: str) -> None:
    """Check the output's shape against the input's. A convolution's depends on its weight, which is not known here."""
    made = layer.shape
    if layer.kind in CONVOLUTIONS:
        fits = True
    elif layer.kind in _FLAT:
        fits = made[1:] == (1, 1)
    elif layer.kind == LayerKind.RESHAPE:
        fits = math.prod(made) == math.prod(given)
    elif layer.kind == LayerKind.UPSAMPLE:
        fits = made[0] == given[0] and all(new % old == 0 for new, old in zip(made[1:], given[1:], strict=True))
    else:
        fits = made == given
    if not fits:
        raise ValueError(f"{what}: its output of shape {made} does not fit its input of shape {given}")
