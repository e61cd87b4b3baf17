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
    length = graph.add("Sqrt", graph.over("ReduceSumSquare", code, 1, keepdims=True))
    parts = {
        "direction": _distance(graph, balance.direction, graph.divide(code, length), "direction"),
        "code": _distance(graph, balance.code, code, "code"),
    }
    terms = []
    for name, part in {**parts, "gradient": gradient, "reconstruction": total}.items():
        centered = graph.add("Sub", part, graph.number(balance.center[name]))
        deviations = graph.add("Div", centered, graph.number(balance.scale[name]))
        terms.append(graph.add("Mul", deviations, graph.number(balance.weights[name])))
    return {**parts, "balanced": graph.add("Sum", *terms)}


def _distance(graph: OnnxGraph, space: Subspace, vectors: str, name: str) -> str:
    centered = graph.add("Sub", vectors, graph.parameter(space.mean, f"balance.{name}.mean"))
    within = graph.add("MatMul", centered, graph.parameter(space.directions, f"balance.{name}.directions"))
    lengths = (graph.over("ReduceSumSquare", each, 1) for each in (centered, within))
    return graph.add("Sub", *lengths)
