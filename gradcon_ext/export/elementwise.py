"""Layers that scale, repeat or only rearrange numbers."""

from __future__ import annotations

from gradcon_ext.chain.layer import LayerKind
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.step import Step


def forward(graph: OnnxGraph, step: Step, input: str) -> str:
    """Add the layer."""
    if step.layer.kind == LayerKind.RESHAPE:
        return graph.reshape(input, *step.layer.shape)
    if step.layer.kind == LayerKind.AFFINE:
        return graph.add("Add", graph.add("Mul", input, _of_channels(graph, step, 0)), _of_channels(graph, step, 1))
    channels, rows, columns = step.given
    factors = graph.integers(1, 1, 1, _repeats(step, 1), 1, _repeats(step, 2))
    repeated = graph.add("Expand", graph.reshape(input, channels, rows, 1, columns, 1), factors)
    return graph.reshape(repeated, *step.layer.shape)


def backward(graph: OnnxGraph, step: Step, grad_output: str) -> str:
    """Add the gradient by the layer's input."""
    if step.layer.kind == LayerKind.RESHAPE:
        return graph.reshape(grad_output, *step.given)
    if step.layer.kind == LayerKind.AFFINE:
        return graph.add("Mul", grad_output, _of_channels(graph, step, 0))
    channels, rows, columns = step.given
    parted = graph.reshape(grad_output, channels, rows, _repeats(step, 1), columns, _repeats(step, 2))
    return graph.over("ReduceSum", parted, 3, 5)


def _repeats(step: Step, axis: int) -> int:
    return step.layer.shape[axis] // step.given[axis]


def _of_channels(graph: OnnxGraph, step: Step, index: int) -> str:
    return graph.parameter(step.parameters[index].reshape(-1, 1, 1), step.names[index])
