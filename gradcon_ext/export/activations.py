"""Activations and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradcon_ext.chain.layer import LayerKind
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.step import Step

_CUBIC = 0.044715
"""Of the approximation of a GELU by tanh (Hendrycks, Gimpel, 2016)."""
_OF_CUBIC = math.sqrt(2 / math.pi)


def forward(graph: OnnxGraph, step: Step, input: str) -> str:
    """Add the layer."""
    kind = step.layer.kind
    if kind in _GELUS:
        return graph.add("Mul", input, _GELUS[kind](graph, input))
    has_constant = kind in (LayerKind.LEAKY_RELU, LayerKind.ELU)
    settings: dict[str, Any] = {"alpha": step.layer.constant} if has_constant else {}
    return graph.add(_OPERATORS[kind], input, **settings)


def backward(graph: OnnxGraph, step: Step, input: str, output: str, grad_output: str) -> str:
    """Add the gradient by the layer's input."""
    return _BACKWARD[step.layer.kind](graph, step.layer.constant, input, output, grad_output)


_OPERATORS = {
    LayerKind.RELU: "Relu",
    LayerKind.LEAKY_RELU: "LeakyRelu",
    LayerKind.ELU: "Elu",
    LayerKind.SIGMOID: "Sigmoid",
    LayerKind.TANH: "Tanh",
}


def _half_above(graph: OnnxGraph, odd: str) -> str:
    """(1 + odd) / 2."""
    return graph.add("Mul", graph.add("Add", odd, graph.number(1.0)), graph.number(0.5))


def _gelu_share(graph: OnnxGraph, input: str) -> str:
    """What a GELU multiplies its input x with: the probability of a normal number below x."""
    return _half_above(graph, graph.add("Erf", graph.add("Mul", input, graph.number(math.sqrt(0.5)))))


def _gelu_tanh_share(graph: OnnxGraph, input: str) -> str:
    return _half_above(graph, graph.add("Tanh", _cubic(graph, input)))


def _cubic(graph: OnnxGraph, input: str) -> str:
    """The argument of the tanh: C x (1 + D x^2)."""
    square = graph.add("Mul", input, input)
    factor = graph.add("Add", graph.add("Mul", square, graph.number(_CUBIC)), graph.number(1.0))
    return graph.add("Mul", graph.add("Mul", input, graph.number(_OF_CUBIC)), factor)


_GELUS = {LayerKind.GELU: _gelu_share, LayerKind.GELU_TANH: _gelu_tanh_share}


def _where_positive(graph: OnnxGraph, output: str, positive: str, other: str) -> str:
    return graph.add("Where", graph.add("Greater", output, graph.number(0.0)), positive, other)


def _relu(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    return _where_positive(graph, output, gradient, graph.number(0.0))


def _leaky_relu(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    return _where_positive(graph, output, gradient, graph.add("Mul", gradient, graph.number(constant)))


def _elu(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    slope = graph.add("Add", output, graph.number(constant))
    return _where_positive(graph, output, gradient, graph.add("Mul", gradient, slope))


def _sigmoid(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    slope = graph.add("Mul", output, graph.add("Sub", graph.number(1.0), output))
    return graph.add("Mul", gradient, slope)


def _tanh(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    slope = graph.add("Sub", graph.number(1.0), graph.add("Mul", output, output))
    return graph.add("Mul", gradient, slope)


def _gelu(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    density = graph.add("Exp", graph.add("Mul", graph.add("Mul", input, input), graph.number(-0.5)))
    scaled = graph.add("Mul", density, graph.number(1 / math.sqrt(2 * math.pi)))
    slope = graph.add("Add", _gelu_share(graph, input), graph.add("Mul", input, scaled))
    return graph.add("Mul", gradient, slope)


def _gelu_tanh(graph: OnnxGraph, constant: float, input: str, output: str, gradient: str) -> str:
    share = _gelu_tanh_share(graph, input)
    # The slope of tanh in terms of the share: 4 share (1 - share), halved.
    of_share = graph.add("Mul", graph.add("Mul", share, graph.add("Sub", graph.number(1.0), share)), graph.number(2.0))
    square = graph.add("Mul", input, input)
    of_cubic = graph.add("Add", graph.add("Mul", square, graph.number(3 * _CUBIC)), graph.number(1.0))
    inner = graph.add("Mul", graph.add("Mul", input, graph.number(_OF_CUBIC)), of_cubic)
    slope = graph.add("Add", share, graph.add("Mul", of_share, inner))
    return graph.add("Mul", gradient, slope)


_BACKWARD: dict[LayerKind, Callable[[OnnxGraph, float, str, str, str], str]] = {
    LayerKind.RELU: _relu,
    LayerKind.LEAKY_RELU: _leaky_relu,
    LayerKind.ELU: _elu,
    LayerKind.GELU: _gelu,
    LayerKind.GELU_TANH: _gelu_tanh,
    LayerKind.SIGMOID: _sigmoid,
    LayerKind.TANH: _tanh,
}
