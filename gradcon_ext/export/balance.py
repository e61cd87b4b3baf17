"""The balanced score in ONNX operators; its arithmetic is that of `gradcon_ext.detector.balance`."""

from __future__ import annotations

from gradcon_ext.detector.balance import Balance, Subspace
from gradcon_ext.export.onnx_graph import OnnxGraph


def balanced_parts(graph: OnnxGraph, balance: Balance, code: str, gradient: str, total: str) -> dict[str, str]:
    """Add "direction", "code" and "balanced", (N,) each.

    Args:
        graph: what they are added to.
        balance: of the detector.
        code: the codes, (N, D).
        gradient: minus the mean cosine, (N,).
        total: reconstruction and latent loss, (N,).
    """
    code = graph.in_float64(code)
    length = graph.add("Sqrt", graph.over("ReduceSumSquare", code, 1, keepdims=True))
    is_zero = graph.add("Equal", length, graph.number_of_float64(0.0))
    divisor = graph.add("Where", is_zero, graph.number_of_float64(1.0), length)
    parts = {
        "direction": _distance(graph, balance.direction, graph.add("Div", code, divisor), "direction"),
        "code": _distance(graph, balance.code, code, "code"),
    }
    others = {"gradient": graph.in_float64(gradient), "reconstruction": graph.in_float64(total)}
    terms = []
    for name, part in {**parts, **others}.items():
        centered = graph.add("Sub", part, graph.number_of_float64(balance.center[name]))
        deviations = graph.add("Div", centered, graph.number_of_float64(balance.scale[name]))
        terms.append(graph.add("Mul", deviations, graph.number_of_float64(balance.weights[name])))
    parts["balanced"] = graph.add("Sum", *terms)
    return {name: graph.in_float32(part) for name, part in parts.items()}


def _distance(graph: OnnxGraph, space: Subspace, vectors: str, name: str) -> str:
    """Of vectors in float64; see `Subspace.distance`."""
    mean = graph.in_float64(graph.parameter(space.mean, f"balance.{name}.mean"))
    directions = graph.in_float64(graph.parameter(space.directions, f"balance.{name}.directions"))
    centered = graph.add("Sub", vectors, mean)
    within = graph.add("MatMul", centered, directions)
    lengths = (graph.over("ReduceSumSquare", each, 1) for each in (centered, within))
    return graph.add("Sub", *lengths)
