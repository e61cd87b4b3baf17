"""P-values and verdicts in ONNX operators."""

from __future__ import annotations

from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.export.onnx_graph import OnnxGraph


def judged_parts(graph: OnnxGraph, calibration: Calibration, part: str, scores: str) -> dict[str, str]:
    """Add "p_value", float32 (N,), and "is_outlier", truth values (N,), of the scores (N,) of the part that decides."""
    own = graph.parameter(calibration.scores[part], "calibration")
    as_high = graph.add("GreaterOrEqual", own, graph.add("Unsqueeze", scores, graph.integers(1)))
    others = graph.over("ReduceSum", graph.add("Cast", as_high, to=1), 1)
    count = graph.add("Add", others, graph.number(1.0))
    return {
        "p_value": graph.add("Div", count, graph.number(calibration.count + 1)),
        "is_outlier": graph.add("LessOrEqual", count, graph.number(calibration.most_as_high(calibration.rate))),
    }
