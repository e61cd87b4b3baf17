"""The scores of images by their tiles, in ONNX operators."""

from __future__ import annotations

import numpy as np

from gradcon_ext.chain.layer import Shape
from gradcon_ext.detector.parts import OF_TILES, column_of
from gradcon_ext.detector.stored_chain import StoredChain, StoredTiles
from gradcon_ext.export.balance import balanced_tile_parts
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.pooling import pooled
from gradcon_ext.export.sample_scores import sample_scores
from gradcon_ext.export.settings import settings_of
from gradcon_ext.export.tiling import cut, tiles_of
from gradcon_ext.export.verdict import judged_parts
from gradcon_ext.tiles.tiling import Tiling


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
    parts, code = _parts_and_code(graph, detector, settings.tiling, shape)
    if settings.balance is not None:
        parts |= balanced_tile_parts(graph, settings.balance, code, parts["gradient"], parts["reconstruction"])
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


def _parts_and_code(
    graph: OnnxGraph, detector: StoredChain, tiling: Tiling, shape: Shape
) -> tuple[dict[str, str], str]:
    """Parts (N * tiles,) and codes (N * tiles, D), image by image and row by row.

    One row of tiles is scored after another: what a tile is scored with takes a hundred times its own memory.
    """

    def table_of(pixels: str) -> str:
        scores = sample_scores(graph, detector, tiles_of(graph, tiling, shape[0], pixels))
        parts = (scores.total, scores.parts["gradient"], scores.parts["anomaly"])
        columns = [graph.add("Unsqueeze", part, graph.integers(1)) for part in parts]
        return graph.add("Concat", *columns, scores.code, axis=1)

    rows, columns = tiling.grid(*shape[1:])
    by_row = graph.each(cut(graph, tiling, shape), table_of)  # (rows, N * columns, numbers)
    counts = graph.add("Concat", graph.integers(rows), graph.count(graph.images), graph.integers(columns, -1), axis=0)
    by_image = graph.add("Transpose", graph.add("Reshape", by_row, counts), perm=(1, 0, 2, 3))
    table = graph.add("Flatten", by_image, axis=3)
    names = ("reconstruction", "gradient", "anomaly")
    parts = {
        name: graph.add("Gather", table, graph.indices(np.array(place)), axis=1) for place, name in enumerate(names)
    }
    rest = (graph.integers(len(names)), graph.integers(np.iinfo(np.int64).max), graph.integers(1))
    return parts, graph.add("Slice", table, *rest)
