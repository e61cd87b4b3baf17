"""Activations and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradcon_ext.chain.layer import LayerKind
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.step import Step

_CUBIC = 0.044715
"""Of the approximation of a GELU by tanh (Hendrycks and Gimpel, 2016)."""
_OF_CUBIC = math.sqrt(2 / math.pi)


def forward(graph: OnnxGraph, step: Step, input: str) -> str:
    """Add the layer."""
    kind, constant = step.layer.kind, step.layer.constant
    if kind == LayerKind.LEAKY_RELU:
        return graph.add("LeakyRelu", input, alpha=constant)
    if kind == LayerKind.ELU:
        return graph.add("Elu", input, alpha=constant)
    if kind == LayerKind.SIGMOID:
        return _sigmoid(graph, input)
    if kind == LayerKind.GELU:
        return graph.add("Mul", input, _normal_share(graph, input))
    if kind == LayerKind.GELU_TANH:
        return graph.add("Mul", input, _gelu_tanh_share(graph, input))
    return graph.add("Relu" if kind == LayerKind.RELU else "Tanh", input)


def backward(graph: OnnxGraph, step: Step, input: str, output: str, grad_output: str) -> str:
    """Add the gradient by the layer's input."""
    constant = step.layer.constant
    if step.layer.kind in _SLOPES:
        return graph.add("Mul", grad_output, _SLOPES[step.layer.kind](graph, input))
    if step.layer.kind == LayerKind.RELU:
        other = graph.number(0.0)
    elif step.layer.kind == LayerKind.LEAKY_RELU:
        other = graph.add("Mul", grad_output, graph.number(constant))
    else:
        other = graph.add("Mul", grad_output, graph.add("Add", output, graph.number(constant)))
    return graph.add("Where", graph.add("Greater", output, graph.number(0.0)), grad_output, other)


def _decay(graph: OnnxGraph, input: str) -> str:
    """Add exp(-|x|): what is made of it is precise where a sigmoid or the slope of a tanh nearly vanishes.

    The operators "Sigmoid" and "Tanh" of onnxruntime 1.32 are not: at -9 the former is off by 7e-4 of its size.
    """
    return graph.add("Exp", graph.add("Neg", graph.add("Abs", input)))


def _decay_of_tanh(graph: OnnxGraph, doubled: str) -> str:
    """The same of twice the argument of a tanh; zero where float32 rounds that tanh to 1, as everywhere else."""
    decay = _decay(graph, doubled)
    return graph.add("Where", graph.add("Less", decay, graph.number(2.0**-26)), graph.number(0.0), decay)


def _logistic(graph: OnnxGraph, input: str, decay: str) -> str:
    positive = graph.add("Greater", input, graph.number(0.0))
    numerator = graph.add("Where", positive, graph.number(1.0), decay)
    return graph.add("Div", numerator, graph.add("Add", decay, graph.number(1.0)))


def _logistic_slope(graph: OnnxGraph, decay: str) -> str:
    whole = graph.add("Add", decay, graph.number(1.0))
    return graph.add("Div", graph.add("Div", decay, whole), whole)


def _sigmoid(graph: OnnxGraph, input: str) -> str:
    return _logistic(graph, input, _decay(graph, input))


def _sigmoid_slope(graph: OnnxGraph, input: str) -> str:
    output = _sigmoid(graph, input)
    return graph.add("Mul", output, graph.add("Sub", graph.number(1.0), output))


def _tanh_slope(graph: OnnxGraph, input: str) -> str:
    """Tanh x is 2 sigmoid(2 x) - 1."""
    decay = _decay_of_tanh(graph, graph.add("Mul", input, graph.number(2.0)))
    return graph.add("Mul", _logistic_slope(graph, decay), graph.number(4.0))


def _normal_share(graph: OnnxGraph, input: str) -> str:
    """What a GELU multiplies its input x with: the probability of a normal number below x."""
    error = graph.add("Erf", graph.add("Mul", input, graph.number(math.sqrt(0.5))))
    return graph.add("Mul", graph.add("Add", error, graph.number(1.0)), graph.number(0.5))


def _gelu_slope(graph: OnnxGraph, input: str) -> str:
    density = graph.add("Exp", graph.add("Mul", graph.add("Mul", input, input), graph.number(-0.5)))
    scaled = graph.add("Mul", density, graph.number(1 / math.sqrt(2 * math.pi)))
    return graph.add("Add", _normal_share(graph, input), graph.add("Mul", input, scaled))


def _cubic(graph: OnnxGraph, input: str) -> str:
    """Twice the argument u of the tanh: 1 + tanh u is 2 sigmoid(2 u)."""
    square = graph.add("Mul", input, input)
    factor = graph.add("Add", graph.add("Mul", square, graph.number(_CUBIC)), graph.number(1.0))
    return graph.add("Mul", graph.add("Mul", input, graph.number(2 * _OF_CUBIC)), factor)


def _gelu_tanh_share(graph: OnnxGraph, input: str) -> str:
    cubic = _cubic(graph, input)
    return _logistic(graph, cubic, _decay_of_tanh(graph, cubic))


def _gelu_tanh_slope(graph: OnnxGraph, input: str) -> str:
    square = graph.add("Mul", input, input)
    of_cubic = graph.add("Add", graph.add("Mul", square, graph.number(3 * _CUBIC)), graph.number(1.0))
    inner = graph.add("Mul", graph.add("Mul", input, graph.number(2 * _OF_CUBIC)), of_cubic)
    slope = _logistic_slope(graph, _decay_of_tanh(graph, _cubic(graph, input)))
    return graph.add("Add", _gelu_tanh_share(graph, input), graph.add("Mul", slope, inner))


_SLOPES: dict[LayerKind, Callable[[OnnxGraph, str], str]] = {
    LayerKind.SIGMOID: _sigmoid_slope,
    LayerKind.TANH: _tanh_slope,
    LayerKind.GELU: _gelu_slope,
    LayerKind.GELU_TANH: _gelu_tanh_slope,
}
