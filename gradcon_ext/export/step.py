"""A layer of a chain with all that its operators are written from."""

from __future__ import annotations

from dataclasses import dataclass

from gradcon_ext.chain.layer import Layer, Shape
from gradcon_ext.export.onnx_graph import Array


@dataclass(frozen=True)
class Step:
    """A layer.

    Attributes:
        layer: what it computes.
        given: shape of its input, (C, H, W).
        parameters: of the layer, in the order of `Layer.parameters`.
        names: of the parameters.
        reference: of its weight, if it is constrained.
    """

    layer: Layer
    given: Shape
    parameters: tuple[Array, ...]
    names: tuple[str, ...]
    reference: Array | None
