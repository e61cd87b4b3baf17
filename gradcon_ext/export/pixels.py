"""Images as what is scored takes them."""

from __future__ import annotations

from gradcon_ext.export.onnx_graph import OnnxGraph


def in_floats(graph: OnnxGraph, images: str) -> str:
    """Add the change of bytes to numbers from 0 to 1, if the graph is given bytes."""
    return graph.add("Div", graph.in_float32(images), graph.number(255.0)) if graph.in_bytes else images
