"""The scores of single samples by a chain of layers, in ONNX operators: forward and backward pass, and alignments."""

from __future__ import annotations

import math
from typing import NamedTuple

from gradcon_ext.chain.layer import CONVOLUTIONS, LayerKind
from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.export import activations, convolution, elementwise, linear
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.reconstruction import cross_entropy, squared_error
from gradcon_ext.export.step import Step

_LOSSES = {"squared_error": squared_error, "evidence_bound": cross_entropy}
_LINEAR = (LayerKind.LINEAR, LayerKind.BOTTLENECK)
_SUFFIXES = {"tensor": "", "scale": ".scale", "shift": ".shift"}


class SampleScores(NamedTuple):
    """Names of values of N samples.

    Attributes:
        parts: that need no balance, (N,) each, by their names, and (N, L) for the cosine.
        total: reconstruction and latent loss, (N,).
        code: (N, D).
    """

    parts: dict[str, str]
    total: str
    code: str


def sample_scores(graph: OnnxGraph, detector: StoredChain, pixels: str) -> SampleScores:
    """Add the scores of samples (N, C, H, W), from 0 to 1 or features, whose shape is that of the chain.

    Raises:
        ValueError: numbers that are not finite in float32.
    """
    steps = _steps(detector)
    values = [pixels]
    for step in steps:
        values.append(_forward(graph, step, values[-1]))
    shape = detector.chain.image_shape
    reconstruction, gradient = _LOSSES[detector.chain.loss](graph, values[-1], pixels, shape)
    latent = _latent(graph, steps, values, math.prod(shape))
    total = graph.add("Add", reconstruction, latent)
    cosines = _cosines(graph, steps, values, gradient)
    cosine = graph.add("Concat", *(graph.add("Unsqueeze", each, graph.integers(1)) for each in cosines), axis=1)
    aligned = graph.over("ReduceMean", cosine, 1)
    parts = {
        "reconstruction": reconstruction,
        "latent": latent,
        "cosine": cosine,
        "gradient": graph.add("Neg", aligned),
        "anomaly": graph.add("Sub", total, graph.add("Mul", aligned, graph.number(detector.alpha))),
    }
    first = _first_constrained(steps)
    return SampleScores(parts, total, graph.reshape(values[first], detector.chain.code_size))


def _steps(detector: StoredChain) -> list[Step]:
    chain, steps = detector.chain, []
    shape = chain.image_shape
    for layer in chain.layers:
        sources = [chain.parameters[index] for index in layer.parameters]
        names = tuple(f"model.{source.name}{_SUFFIXES[source.kind]}" for source in sources)
        parameters = tuple(detector.parameters[index] for index in layer.parameters)
        reference = None if layer.reference == -1 else detector.references[layer.reference]
        steps.append(Step(layer, shape, parameters, names, reference))
        shape = layer.shape
    return steps


def _first_constrained(steps: list[Step]) -> int:
    return next(position for position, step in enumerate(steps) if step.reference is not None)


def _forward(graph: OnnxGraph, step: Step, input: str) -> str:
    if step.layer.kind in CONVOLUTIONS:
        return convolution.forward(graph, step, input)
    if step.layer.kind in _LINEAR:
        return linear.forward(graph, step, input)
    if step.layer.kind >= LayerKind.RELU:
        return activations.forward(graph, step, input)
    return elementwise.forward(graph, step, input)


def _latent(graph: OnnxGraph, steps: list[Step], values: list[str], pixels: int) -> str:
    """The latent loss (N,); zeros without a bottleneck."""
    for step, input, output in zip(steps, values, values[1:], strict=False):
        if step.layer.kind == LayerKind.BOTTLENECK:
            return graph.add("Div", linear.divergence(graph, step, input, output), graph.number(pixels))
    return graph.add("ConstantOfShape", graph.count(values[0]))


def _cosines(graph: OnnxGraph, steps: list[Step], values: list[str], gradient: str) -> list[str]:
    """The backward pass, which ends at the first constrained layer: cosines (N,), in the order of the references."""
    pixels = math.prod(steps[0].given)
    cosines: dict[int, str] = {}
    for position in range(len(steps) - 1, _first_constrained(steps) - 1, -1):
        step, input, output = steps[position], values[position], values[position + 1]
        if step.reference is not None:
            family = linear if step.layer.kind == LayerKind.LINEAR else convolution
            cosines[step.layer.reference] = family.cosine(graph, step, input, gradient, step.reference)
        if len(cosines) == sum(step.reference is not None for step in steps):
            break
        gradient = _backward(graph, step, input, output, gradient, pixels)
    return [cosines[column] for column in range(len(cosines))]


def _backward(graph: OnnxGraph, step: Step, input: str, output: str, grad_output: str, pixels: int) -> str:
    if step.layer.kind in CONVOLUTIONS:
        return convolution.backward(graph, step, grad_output)
    if step.layer.kind == LayerKind.BOTTLENECK:
        return linear.backward_with_divergence(graph, step, input, output, grad_output, pixels)
    if step.layer.kind == LayerKind.LINEAR:
        return linear.backward(graph, step, grad_output)
    if step.layer.kind >= LayerKind.RELU:
        return activations.backward(graph, step, input, output, grad_output)
    return elementwise.backward(graph, step, grad_output)
