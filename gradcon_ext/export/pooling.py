"""One score of an image from those of its tiles, in ONNX operators; see `gradcon_ext.tiles.Pooling`."""

from __future__ import annotations

import numpy as np

from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.tiles.pooling import Pooling


def pooled(graph: OnnxGraph, pooling: Pooling, scores: str, count: int) -> str:
    """Add the pooled scores (N,) of images with so many tiles each, (N, count)."""
    if pooling.kind == "quantile":
        score = _quantile(graph, pooling, scores, count)
    elif pooling.kind == "largest":
        score = graph.over("ReduceMean", graph.largest(scores, min(int(pooling.value), count)), 1)
    else:
        score = graph.over("ReduceMax", scores, 1)
    return _no_number_if_one_is_none(graph, score, scores)


def _quantile(graph: OnnxGraph, pooling: Pooling, scores: str, count: int) -> str:
    below, above, beyond = pooling.ranks(count)
    descending = graph.largest(scores, count - below)
    lower, upper = (
        graph.add("Gather", descending, graph.indices(np.array(count - 1 - rank)), axis=1) for rank in (below, above)
    )
    return graph.add("Add", lower, graph.add("Mul", graph.add("Sub", upper, lower), graph.number(beyond)))


def _no_number_if_one_is_none(graph: OnnxGraph, score: str, scores: str) -> str:
    """Engines differ in what the largest of numbers and of what is none is."""
    is_none = graph.in_float32(graph.add("IsNaN", scores))
    any_is_none = graph.add("Greater", graph.over("ReduceMax", is_none, 1), graph.number(0.0))
    return graph.add("Where", any_is_none, graph.number(float("nan")), score)
