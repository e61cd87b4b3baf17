"""How far codes of tiles leave those of training, in ONNX operators; see `gradcon_ext.detector.places.Places`."""

from __future__ import annotations

from gradcon_ext.detector.places import Places
from gradcon_ext.export.onnx_graph import OnnxGraph


def distance(graph: OnnxGraph, places: Places, codes: str, name: str) -> str:
    """Add the squared Mahalanobis distance (N * P,) of codes (N * P, D), place by place; all in float64.

    Args:
        graph: what it is added to.
        places: P of them in each image; or one that all codes share.
        codes: of the tiles of N images.
        name: of what is compared.
    """
    arrays = {
        "mean": places.mean,
        "basis": places.basis,
        "centers": places.centers,
        "factors": places.factors.mT.contiguous(),
    }
    mean, basis, centers, factors = (
        graph.in_float64(graph.parameter(tensor.numpy(), f"tiles.{name}.{array}")) for array, tensor in arrays.items()
    )
    # From (N * P, K) to (P, N, K): a product of matrices at each place.
    white = graph.add("MatMul", graph.add("Sub", codes, mean), basis)
    by_image = graph.add("Reshape", white, graph.integers(-1, places.count, places.kept))
    by_place = graph.add("Transpose", graph.add("Sub", by_image, centers), perm=(1, 0, 2))
    squares = graph.over("ReduceSumSquare", graph.add("MatMul", by_place, factors), 2)
    return graph.add("Reshape", graph.add("Transpose", squares, perm=(1, 0)), graph.integers(-1))
