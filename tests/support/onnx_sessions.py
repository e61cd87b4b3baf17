"""Scores of ONNX graphs, in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.export.score_graph import score_graph


def session_of(detector: StoredChain, in_bytes: bool = False) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = score_graph(detector, in_bytes).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, images: Any) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": np.asarray(images)}), strict=True))
