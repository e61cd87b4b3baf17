"""The whole score of a detector as an ONNX graph, of whole images or of tiles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gradcon_ext.detector.parts import column_of
from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.detector.tile_program import LAYERS
from gradcon_ext.export.balance import balanced_parts
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.pixels import in_floats
from gradcon_ext.export.sample_scores import sample_scores
from gradcon_ext.export.settings import exported_shape
from gradcon_ext.export.tiled_scores import tiled_scores
from gradcon_ext.export.verdict import judged_parts
from gradcon_ext.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto


def score_graph(detector: StoredChain, in_bytes: bool = False, size: tuple[int, int] | None = None) -> ModelProto:
    """Write the scores of a detector as an ONNX graph of standard operators, of float32 throughout.

    Its input "images" is (N, C, H, W) for any N. Its outputs are those of `gradcon_ext.Scorer.score` by the same names,
    (N,), and (N, L) for the cosine; "p_value" and "is_outlier" among them where the detector has a calibration. Of a
    detector of tiles they are those of `gradcon_ext.scorer_of(detector).score`, and the parts of the tiles themselves,
    (N, rows, columns), have names that begin with "tiles.". Names and order of the layers, alpha and preprocessing
    stand in its metadata.

    Args:
        detector: of which model, and with which numbers.
        in_bytes: whether the images are uint8 (0 to 255); otherwise they are float32 (0 to 1, or feature maps).
        size: height and width of the images; needed for a detector of tiles whose images have none of their own, and
            for no other.

    Raises:
        ImportError: the package onnx is not installed.
        ValueError: numbers that are not finite in float32, or a size that is missing or does not fit the detector.
    """
    shape = exported_shape(detector, size)
    graph = OnnxGraph(shape, in_bytes)
    tiles = detector.tiles
    outputs = _whole(graph, detector) if tiles is None else tiled_scores(graph, detector, tiles, shape)
    named = [graph.add("Identity", value, name=name) for name, value in outputs.items()]
    metadata = {
        "gradcon_ext": __version__,
        "layers": json.dumps(detector.chain.references if tiles is None else LAYERS),
        "alpha": json.dumps(detector.alpha),
        "preprocessing": json.dumps(detector.preprocessing),
    }
    return graph.model(named, metadata)


def _whole(graph: OnnxGraph, detector: StoredChain) -> dict[str, str]:
    """The outputs by their names."""
    scores = sample_scores(graph, detector, in_floats(graph, graph.images))
    outputs = scores.parts
    if detector.balance is not None:
        outputs |= balanced_parts(graph, detector.balance, scores.code, outputs["gradient"], scores.total)
    if detector.calibration is not None:
        decides = outputs[column_of(detector.part)]
        outputs |= judged_parts(graph, detector.calibration, detector.part, decides)
    return outputs
