"""The scores of images by their tiles, in ONNX operators."""

from __future__ import annotations

from gradcon_ext.chain.layer import Shape
from gradcon_ext.detector.parts import OF_TILES, column_of
from gradcon_ext.detector.stored_chain import StoredChain, StoredTiles
from gradcon_ext.export.balance import balanced_tile_parts
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.pooling import pooled
from gradcon_ext.export.sample_scores import sample_scores
from gradcon_ext.export.settings import settings_of
from gradcon_ext.export.tiling import cut
from gradcon_ext.export.verdict import judged_parts


def tiled_scores(graph: OnnxGraph, detector: StoredChain, tiles: StoredTiles, shape: Shape) -> dict[str, str]:
    """Add the outputs of a detector of tiles, by their names.

    Args:
        graph: what they are added to.
        detector: of single tiles.
        tiles: what makes the scores of images of theirs.
        shape: of the images.

    Raises:
        ValueError: as `score_graph` raises.
    """
    settings = settings_of(detector, tiles)
    rows, columns = settings.grid(*shape[1:])
    scores = sample_scores(graph, detector, cut(graph, settings.tiling, shape))
    parts = {"reconstruction": scores.total} | {name: scores.parts[name] for name in ("gradient", "anomaly")}
    if settings.balance is not None:
        parts |= balanced_tile_parts(graph, settings.balance, scores.code, parts["gradient"], scores.total)
    of_images = {
        name: pooled(graph, settings.pooling, graph.regroup(part, rows * columns), rows * columns)
        for name, part in parts.items()
    }
    outputs = {
        "reconstruction": of_images.pop("reconstruction"),
        "latent": graph.add("ConstantOfShape", graph.count(graph.images)),
        "cosine": graph.add("Unsqueeze", graph.add("Neg", of_images["gradient"]), graph.integers(1)),
        **of_images,
    }
    if tiles.calibration is not None:
        outputs |= judged_parts(graph, tiles.calibration, tiles.part, outputs[column_of(tiles.part)])
    return outputs | {OF_TILES + name: graph.regroup(part, rows, columns) for name, part in parts.items()}
