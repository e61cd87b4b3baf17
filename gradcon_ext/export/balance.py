"""The balanced score in ONNX operators; its arithmetic is that of `gradcon_ext.detector.balance` and `tile_balance`."""

from __future__ import annotations

from collections.abc import Mapping

from gradcon_ext.detector.balance import WEIGHTS, Balance, Subspace
from gradcon_ext.detector.tile_balance import TileBalance
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.places import distance


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
    parts = {
        "direction": _distance(graph, balance.direction, _at_length_1(graph, code), "direction"),
        "code": _distance(graph, balance.code, code, "code"),
    }
    return _with_balanced(graph, parts, gradient, total, balance, balance.weights)


def balanced_tile_parts(graph: OnnxGraph, balance: TileBalance, code: str, gradient: str, total: str) -> dict[str, str]:
    """The same of tiles of N images, image by image and row by row, (N * tiles,) each."""
    code = graph.in_float64(code)
    parts = {
        "direction": distance(graph, balance.direction, _at_length_1(graph, code), "direction"),
        "code": distance(graph, balance.code, code, "code"),
    }
    return _with_balanced(graph, parts, gradient, total, balance, WEIGHTS)


def _at_length_1(graph: OnnxGraph, code: str) -> str:
    length = graph.add("Sqrt", graph.over("ReduceSumSquare", code, 1, keepdims=True))
    is_zero = graph.add("Equal", length, graph.number_of_float64(0.0))
    return graph.add("Div", code, graph.add("Where", is_zero, graph.number_of_float64(1.0), length))


def _with_balanced(
    graph: OnnxGraph,
    distances: dict[str, str],
    gradient: str,
    total: str,
    balance: Balance | TileBalance,
    weights: Mapping[str, float],
) -> dict[str, str]:
    """Distances in float64 with the weighted sum of all parts, as float32."""
    others = {"gradient": graph.in_float64(gradient), "reconstruction": graph.in_float64(total)}
    terms = []
    for name, part in {**distances, **others}.items():
        centered = graph.add("Sub", part, graph.number_of_float64(balance.center[name]))
        deviations = graph.add("Div", centered, graph.number_of_float64(balance.scale[name]))
        terms.append(graph.add("Mul", deviations, graph.number_of_float64(weights[name])))
    parts = {**distances, "balanced": graph.add("Sum", *terms)}
    return {name: graph.in_float32(part) for name, part in parts.items()}


def _distance(graph: OnnxGraph, space: Subspace, vectors: str, name: str) -> str:
    """Of vectors in float64; see `Subspace.distance`."""
    mean = graph.in_float64(graph.parameter(space.mean, f"balance.{name}.mean"))
    directions = graph.in_float64(graph.parameter(space.directions, f"balance.{name}.directions"))
    centered = graph.add("Sub", vectors, mean)
    within = graph.add("MatMul", centered, directions)
    lengths = (graph.over("ReduceSumSquare", each, 1) for each in (centered, within))
    return graph.add("Sub", *lengths)
