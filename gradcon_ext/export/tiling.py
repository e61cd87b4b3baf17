"""Images cut into tiles in ONNX operators, as `gradcon_ext.tiles.Tiling` cuts them."""

from __future__ import annotations

from gradcon_ext.chain.layer import Shape
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.resampling import resized
from gradcon_ext.tiles.tiling import DEVIATIONS, FAINT, Tiling


def cut(graph: OnnxGraph, tiling: Tiling, shape: Shape) -> str:
    """Add the pixels of the tiles of a graph's images (N, *shape), as (rows, N, columns, C, height, width), float32."""
    channels, *size = shape
    pixels = resized(graph, shape, tiling.scaled(*size))
    rows, columns = (places.numpy() for places in tiling.pixels(*size))
    for axis, places in ((2, rows), (3, columns)):
        pixels = graph.add("Gather", pixels, graph.indices(places.reshape(-1)), axis=axis)
    parted = graph.reshape(pixels, channels, *rows.shape, *columns.shape)
    return graph.add("Transpose", parted, perm=(2, 0, 4, 1, 3, 5))


def tiles_of(graph: OnnxGraph, tiling: Tiling, channels: int, pixels: str) -> str:
    """Add the tiles (N * columns, C, height, width) of pixels (N, columns, C, height, width)."""
    tiles = graph.add("Reshape", pixels, graph.integers(-1, channels, *tiling.size))
    return _even(graph, tiles) if tiling.even_contrast else tiles


def _even(graph: OnnxGraph, tiles: str) -> str:
    first = graph.add("Slice", tiles, graph.integers(0, 0), graph.integers(1, 1), graph.integers(2, 3))
    shifted = graph.add("Sub", tiles, first)
    centered = graph.add("Sub", shifted, graph.over("ReduceMean", shifted, 2, 3, keepdims=True))
    squares = graph.over("ReduceMean", graph.add("Mul", centered, centered), 1, 2, 3, keepdims=True)
    deviation = graph.add("Add", graph.add("Sqrt", squares), graph.number(FAINT))
    scaled = graph.add("Div", centered, graph.add("Mul", deviation, graph.number(DEVIATIONS)))
    return graph.add("Clip", graph.add("Add", scaled, graph.number(0.5)), graph.number(0.0), graph.number(1.0))
