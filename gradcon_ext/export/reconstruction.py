"""Reconstruction losses and their gradients: those of `gradcon_ext.losses`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradcon_ext.export.onnx_graph import OnnxGraph

_LEAST, _MOST = 1e-12, 1 - float(np.finfo(np.float32).eps)
"""Bounds of a probability, beyond which its logarithm counts as constant."""


def squared_error(graph: OnnxGraph, output: str, pixels: str, shape: Sequence[int]) -> tuple[str, str]:
    """Add the mean squared error (N,), and its gradient by the output."""
    error = graph.add("Sub", output, pixels)
    loss = graph.over("ReduceMean", graph.add("Mul", error, error), 1, 2, 3)
    return loss, graph.add("Mul", error, graph.number(2 / math.prod(shape)))


def cross_entropy(graph: OnnxGraph, output: str, pixels: str, shape: Sequence[int]) -> tuple[str, str]:
    """Add the mean binary cross entropy (N,), and its gradient by the output."""
    least, most, one = graph.number(_LEAST), graph.number(_MOST), graph.number(1.0)
    probability = graph.add("Clip", output, least, most)
    other, dark = graph.add("Sub", one, probability), graph.add("Sub", one, pixels)
    bright_part = graph.add("Mul", pixels, graph.add("Log", probability))
    dark_part = graph.add("Mul", dark, graph.add("Log", other))
    loss = graph.add("Neg", graph.over("ReduceMean", graph.add("Add", bright_part, dark_part), 1, 2, 3))
    slope = graph.add("Sub", graph.add("Div", dark, other), graph.add("Div", pixels, probability))
    inside = graph.add("Equal", output, probability)
    gradient = graph.add("Where", inside, graph.add("Div", slope, graph.number(math.prod(shape))), graph.number(0.0))
    return loss, gradient
