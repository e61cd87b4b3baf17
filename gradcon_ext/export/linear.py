"""Linear layers, and the bottleneck of a variational autoencoder, which is two of them."""

from __future__ import annotations

import math

from gradcon_ext.chain.layer import Shape
from gradcon_ext.export.cosine import clipped, direction_of, scaled
from gradcon_ext.export.onnx_graph import Array, OnnxGraph
from gradcon_ext.export.step import Step


def forward(graph: OnnxGraph, step: Step, input: str) -> str:
    """Add the layer; of a bottleneck the mean of the code, which is what its decoder is given in scoring."""
    return _forward(graph, step, input, first=0)


def backward(graph: OnnxGraph, step: Step, grad_output: str) -> str:
    """Add the gradient by the layer's input."""
    return _backward(graph, step, grad_output, weight=0)


def cosine(graph: OnnxGraph, step: Step, input: str, grad_output: str, reference: Array) -> str:
    """Add the alignment (N,) of each sample's weight gradient, the outer product of grad_output and input.

    The length of an outer product is the product of the lengths.
    """
    left = _flat(graph, scaled(graph, grad_output), step.layer.shape)
    right = _flat(graph, scaled(graph, input), step.given)
    direction = graph.parameter(direction_of(reference), f"{step.names[0]}.reference")
    dot = graph.over("ReduceSum", graph.add("Mul", left, graph.add("Gemm", right, direction, transB=1)), 1)
    for vectors in (left, right):
        dot = graph.divide(dot, graph.add("Sqrt", graph.over("ReduceSumSquare", vectors, 1)))
    return clipped(graph, dot)


def divergence(graph: OnnxGraph, step: Step, input: str, mean: str) -> str:
    """Add the Kullback-Leibler divergence (N,) of a bottleneck's code to N(0, 1) (Kingma and Welling, 2013)."""
    log_variance = _forward(graph, step, input, first=2)
    above = graph.add("Sub", graph.add("Sub", graph.add("Exp", log_variance), log_variance), graph.number(1.0))
    terms = graph.add("Add", graph.add("Mul", mean, mean), above)
    return graph.add("Mul", graph.over("ReduceSum", terms, 1, 2, 3), graph.number(0.5))


def backward_with_divergence(graph: OnnxGraph, step: Step, input: str, mean: str, grad_output: str, pixels: int) -> str:
    """Add the gradient by a bottleneck's input of what follows it and of its own divergence, divided by the pixels."""
    log_variance = _forward(graph, step, input, first=2)
    of_mean = graph.add("Add", grad_output, graph.add("Div", mean, graph.number(pixels)))
    above = graph.add("Sub", graph.add("Exp", log_variance), graph.number(1.0))
    of_log_variance = graph.add("Mul", above, graph.number(0.5 / pixels))
    through_mean = _backward(graph, step, of_mean, weight=0)
    return graph.add("Add", through_mean, _backward(graph, step, of_log_variance, weight=2))


def _forward(graph: OnnxGraph, step: Step, input: str, first: int) -> str:
    given = zip(step.parameters[first : first + 2], step.names[first : first + 2], strict=True)
    parameters = [graph.parameter(*pair) for pair in given]
    product = graph.add("Gemm", _flat(graph, input, step.given), *parameters, transB=1)
    return graph.reshape(product, *step.layer.shape)


def _backward(graph: OnnxGraph, step: Step, grad_output: str, weight: int) -> str:
    parameter = graph.parameter(step.parameters[weight], step.names[weight])
    return graph.reshape(graph.add("Gemm", _flat(graph, grad_output, step.layer.shape), parameter), *step.given)


def _flat(graph: OnnxGraph, value: str, shape: Shape) -> str:
    return graph.reshape(value, math.prod(shape))
