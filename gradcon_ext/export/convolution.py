"""Convolutions and transposed convolutions: the one's input gradient is the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcon_ext.chain.layer import LayerKind, Pair, Shape
from gradcon_ext.export.cosine import cosine_of, direction_of, scaled
from gradcon_ext.export.onnx_graph import Array, OnnxGraph
from gradcon_ext.export.step import Step


def forward(graph: OnnxGraph, step: Step, input: str) -> str:
    """Add the layer."""
    parameters = (graph.parameter(*pair) for pair in zip(step.parameters, step.names, strict=True))
    if step.layer.kind == LayerKind.CONV:
        return graph.add("Conv", input, *parameters, **_settings(step))
    return _transposed(graph, step, input, *parameters, shape=step.layer.shape, given=step.given)


def backward(graph: OnnxGraph, step: Step, grad_output: str) -> str:
    """Add the gradient by the layer's input."""
    weight = graph.parameter(step.parameters[0], step.names[0])
    if step.layer.kind == LayerKind.CONV:
        return _transposed(graph, step, grad_output, weight, shape=step.given, given=step.layer.shape)
    gradient = graph.add("Conv", grad_output, weight, **_settings(step))
    made = _positions(step, step.layer.shape)
    if made == step.given[1:]:
        return gradient
    # An output padding of a stride or more leaves room for positions that the input has none of.
    ends = graph.integers(*step.given[1:])
    return graph.add("Slice", gradient, graph.integers(0, 0), ends, graph.integers(2, 3))


def cosine(graph: OnnxGraph, step: Step, input: str, grad_output: str, reference: Array) -> str:
    """Add the alignment (N,) of each sample's weight gradient, which is formed as a product of matrices.

    The one of input and grad_output that has a position for each place of the kernel is a matrix of its channels and
    those positions; the other one is unfolded to what the kernel meets at each.
    """
    walked, unfolded = scaled(graph, input), scaled(graph, grad_output)
    walked_shape, unfolded_shape = step.given, step.layer.shape
    if step.layer.kind == LayerKind.CONV:
        walked, unfolded = unfolded, walked
        walked_shape, unfolded_shape = unfolded_shape, walked_shape
    groups, per_group = step.layer.groups, walked_shape[0] // step.layer.groups
    positions = walked_shape[1] * walked_shape[2]
    rows = graph.reshape(walked, groups, per_group, positions)
    gradient = graph.add("MatMul", rows, _patches(graph, step, unfolded, unfolded_shape, walked_shape))
    taps_first = np.moveaxis(direction_of(reference), 1, -1)
    direction = graph.parameter(taps_first.reshape(groups, per_group, -1), f"{step.names[0]}.reference")
    return cosine_of(graph, gradient, direction)


def _settings(step: Step) -> dict[str, Any]:
    layer = step.layer
    return {
        "strides": layer.stride,
        "pads": layer.padding * 2,
        "dilations": layer.dilation,
        "group": layer.groups,
        "kernel_shape": step.parameters[0].shape[2:],
    }


def _transposed(graph: OnnxGraph, step: Step, input: str, *parameters: str, shape: Shape, given: Shape) -> str:
    """A transposed convolution between two shapes: its settings alone leave the last rows and columns open.

    An output padding is so much less padding at the end, as far as there is any; what is beyond meets no tap. Engines
    differ in which output paddings they take.
    """
    layer = step.layer
    whole = [
        (size - 1) * stride + reach for size, stride, reach in zip(given[1:], layer.stride, _reach(step), strict=True)
    ]
    behind = [made - padding - size for made, padding, size in zip(whole, layer.padding, shape[1:], strict=True)]
    beyond = [max(0, -size) for size in behind]
    settings = _settings(step) | {"pads": (*layer.padding, *(max(0, size) for size in behind))}
    if not any(beyond):
        return graph.add("ConvTranspose", input, *parameters, **settings)
    weight, *bias = parameters
    made = graph.add("ConvTranspose", input, weight, **settings)
    output = graph.add("Pad", made, graph.integers(0, 0, 0, 0, 0, 0, *beyond))
    return graph.add("Add", output, graph.add("Reshape", *bias, graph.integers(1, -1, 1, 1))) if bias else output


def _patches(graph: OnnxGraph, step: Step, value: str, shape: Shape, walked: Shape) -> str:
    """What the kernel meets at each of P positions, (N, groups, P, taps * channels of a group)."""
    layer, taps = step.layer, step.parameters[0].shape[2:]
    channels, *size = shape
    ends = [
        max(0, (count - 1) * stride + reach - padding - length)
        for count, stride, reach, padding, length in zip(
            walked[1:], layer.stride, _reach(step), layer.padding, size, strict=True
        )
    ]
    padded = [sum(sizes) for sizes in zip(layer.padding, size, ends, strict=True)]
    if padded != size:
        value = graph.add("Pad", value, graph.integers(0, 0, *layer.padding, 0, 0, *ends))
    value = graph.reshape(value, layer.groups, channels // layer.groups, padded[0] * padded[1])
    rows, columns = (
        np.arange(count)[:, None] * stride + np.arange(tap) * dilation
        for count, stride, tap, dilation in zip(walked[1:], layer.stride, taps, layer.dilation, strict=True)
    )
    # Of each position (row, column), and at it of each tap.
    places = rows[:, None, :, None] * padded[1] + columns[None, :, None, :]
    channels_last = graph.add("Transpose", value, perm=(0, 1, 3, 2))
    gathered = graph.add("Gather", channels_last, graph.indices(places.reshape(-1)), axis=2)
    positions = walked[1] * walked[2]
    return graph.reshape(gathered, layer.groups, positions, taps[0] * taps[1] * channels // layer.groups)


def _reach(step: Step) -> Pair:
    rows, columns = (
        dilation * (taps - 1) + 1
        for dilation, taps in zip(step.layer.dilation, step.parameters[0].shape[2:], strict=True)
    )
    return rows, columns


def _positions(step: Step, shape: Shape) -> Pair:
    rows, columns = (
        (size + 2 * padding - reach) // stride + 1
        for size, padding, reach, stride in zip(
            shape[1:], step.layer.padding, _reach(step), step.layer.stride, strict=True
        )
    )
    return rows, columns
