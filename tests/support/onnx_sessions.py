"""Scores of ONNX graphs, in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto

from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.score_graph import score_graph


def session_of(
    detector: StoredChain, in_bytes: bool = False, size: tuple[int, int] | None = None
) -> onnxruntime.InferenceSession:
    return _session(score_graph(detector, in_bytes, size))


def run(session: onnxruntime.InferenceSession, images: Any) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": np.asarray(images)}), strict=True))


def value_of(graph: OnnxGraph, value: str, images: Any) -> np.ndarray:
    """What a value of a graph is for some images."""
    given = run(_session(graph.model([graph.add("Identity", value, name="value")], {})), images)
    return given["value"]


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
