"""Images made smaller as `torch.nn.functional.interpolate` makes them: bilinear, antialiased.

Of bytes it makes bytes, by weights in fixed point and with a rounding after each axis; the same numbers come out here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradcon_ext.chain.layer import Pair, Shape
from gradcon_ext.export.onnx_graph import Array, OnnxGraph
from gradcon_ext.export.pixels import in_floats

_MOST_BITS, _LARGEST = 22, 1 << 15
"""Of a weight in fixed point: its digits after the point, and what it stays below."""


class Taps(NamedTuple):
    """What each of P pixels along an axis is made of.

    Attributes:
        sources: pixels, int64 (P, taps).
        weights: of them, which add up to 1, (P, taps).
    """

    sources: Array
    weights: Array


def taps_of(length: int, wanted: int, dtype: type[np.floating[Any]]) -> Taps:
    """Return how an axis of a length becomes one of a smaller or the same length.

    All is computed in that dtype, as torch does: at places in the thousands, rounding moves float32 weights by 1e-5.
    """
    one, half = dtype(1), dtype(0.5)
    scale = dtype(length) / dtype(wanted)
    centers = scale * (np.arange(wanted, dtype=dtype) + half)
    first = np.maximum(np.floor(centers - scale + half), 0).astype(np.int64)
    behind = np.minimum(np.floor(centers + scale + half), length).astype(np.int64)
    sources = first[:, None] + np.arange((behind - first).max())
    distances = np.abs(sources.astype(dtype) - centers[:, None] + half) * (one / scale)
    weights = np.where(sources < behind[:, None], np.maximum(one - distances, 0), 0)
    return Taps(np.minimum(sources, length - 1), weights / weights.sum(1, keepdims=True))


def in_fixed_point(weights: Array) -> tuple[Array, int]:
    """Return whole numbers that weights are when divided by 2 to a power, and that power."""
    largest = weights.max()
    power = next(bits for bits in range(_MOST_BITS + 1) if bits == _MOST_BITS or _whole(largest, bits + 1) >= _LARGEST)
    return _whole(weights, power), power


def resized(graph: OnnxGraph, shape: Shape, wanted: Pair) -> str:
    """Add the images (N, *shape) of a graph at another height and width, in floating point.

    Raises:
        ValueError: the width is to be a single pixel, of which torch 2.13 makes the same in every row.
    """
    channels, rows, columns = shape
    if wanted[1] == 1 and wanted != (rows, columns):
        raise ValueError(f"images {columns} pixels wide would be made a single pixel wide: give a larger --size")
    value = graph.images
    dtype = np.float64 if graph.in_bytes else np.float32
    if wanted != (rows, columns) and graph.in_bytes:
        value = graph.in_float64(value)
    if wanted[1] != columns:  # before the rows, as torch does, which matters for bytes
        value = _gathered(graph, value, 3, taps := taps_of(columns, wanted[1], dtype))
        parted = graph.reshape(value, channels, rows, *taps.weights.shape)
        value = _weighted(graph, parted, taps.weights, 4)
    if wanted[0] != rows:
        value = _gathered(graph, value, 2, taps := taps_of(rows, wanted[0], dtype))
        parted = graph.reshape(value, channels, *taps.weights.shape, wanted[1])
        value = _weighted(graph, parted, taps.weights[:, :, None], 3)
    return in_floats(graph, value)


def _gathered(graph: OnnxGraph, value: str, axis: int, taps: Taps) -> str:
    return graph.add("Gather", value, graph.indices(taps.sources.reshape(-1)), axis=axis)


def _weighted(graph: OnnxGraph, value: str, weights: Array, axis: int) -> str:
    """A weighted sum over an axis, rounded to whole numbers of bytes."""
    if not graph.in_bytes:
        return graph.over("ReduceSum", graph.add("Mul", value, graph.parameter(weights, "resampling")), axis)
    whole, power = in_fixed_point(weights)
    total = graph.over(
        "ReduceSum", graph.add("Mul", value, graph.in_float64(graph.parameter(whole, "resampling"))), axis
    )
    shifted = graph.add("Mul", total, graph.number_of_float64(2.0**-power))
    rounded = graph.add("Floor", graph.add("Add", shifted, graph.number_of_float64(0.5)))
    return graph.add("Min", rounded, graph.number_of_float64(255.0))


def _whole(weights: Array, power: int) -> Array:
    return np.floor(0.5 + weights * (1 << power))
