"""Distances of codes are those of the places of tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.detector.places import Places
from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.places import distance
from support.onnx_sessions import value_of


@pytest.mark.parametrize("count", [1, 4])
def test_each_tile_is_compared_with_its_place(count: int) -> None:
    mean, basis = torch.randn(5), torch.randn(5, 3)
    places = Places(mean, basis, torch.randn(count, 3), torch.randn(count, 3, 3))
    codes = torch.randn(8, 5)  # of two images with four tiles each
    graph = OnnxGraph((5, 1, 1), in_bytes=False)
    value = distance(graph, places, graph.in_float64(graph.reshape(graph.images, 5)), "code")
    given = value_of(graph, value, codes[:, :, None, None])
    for index, code in enumerate(codes.double()):
        place = index % count
        white = (code - mean.double()) @ basis.double() - places.centers[place].double()
        expected = (places.factors[place].double() @ white).square().sum()
        np.testing.assert_allclose(given[index], expected, 1e-12)
