"""Scores of tiles are pooled as the package pools them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.pooling import pooled
from gradcon_ext.tiles import Pooling
from support.onnx_sessions import value_of

POOLINGS = (
    *("max", "largest:1", "largest:3", "largest:100"),
    *(f"quantile:{quantile}" for quantile in (0, 0.1, 0.5, 0.77, 0.999, 1)),
)


def pooled_of(pooling: str, scores: torch.Tensor) -> np.ndarray:
    count = scores.shape[1]
    graph = OnnxGraph((1, 1, count), in_bytes=False)
    value = pooled(graph, Pooling.parse(pooling), graph.reshape(graph.images, count), count)
    return value_of(graph, value, scores[:, None, None])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_images_have_the_scores_of_their_tiles(pooling: str, count: int) -> None:
    scores = torch.randn(5, count)
    expected = np.stack([Pooling.parse(pooling)(row).numpy() for row in scores])
    np.testing.assert_allclose(pooled_of(pooling, scores), expected, 1e-6, 1e-6)


@pytest.mark.parametrize("pooling", ["max", "largest:2", "quantile:0.5"])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_tile_without_a_number_leaves_its_image_none(pooling: str, place: int) -> None:
    scores = torch.randn(3, 7)
    scores[1, place] = torch.nan
    assert np.isnan(pooled_of(pooling, scores)).tolist() == [False, True, False]
