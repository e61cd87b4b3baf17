"""Images are cut as the package cuts them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.tiling import cut, tiles_of
from gradcon_ext.tiles import Tiling
from support.onnx_sessions import value_of

TILINGS = {
    "square": (Tiling(6, 3), (15, 20)),
    "with rests": (Tiling((5, 7), (4, 5)), (16, 23)),
    "made smaller": (Tiling(6, 4, 0.5), (25, 31)),
    "a single one": (Tiling(8, 8), (8, 8)),
    "smaller than a tile": (Tiling(9, 4), (4, 20)),
    "a pixel": (Tiling(1, 1), (3, 4)),
    "even contrast": (Tiling(6, 3, even_contrast=True), (15, 20)),
    "even contrast, made smaller": (Tiling(6, 3, 0.7, even_contrast=True), (15, 20)),
}


@pytest.mark.parametrize("name", TILINGS)
@pytest.mark.parametrize("in_bytes", [False, True])
def test_tiles_come_image_by_image_and_row_by_row(name: str, in_bytes: bool) -> None:
    tiling, size = TILINGS[name]
    images = torch.rand(3, 2, *size)
    images[1] = images[1].mean()  # without contrast
    if in_bytes:
        images = (images * 255).to(torch.uint8)
    graph = OnnxGraph((2, *size), in_bytes)
    by_row = value_of(graph, graph.each(cut(graph, tiling, (2, *size)), partial(tiles_of, graph, tiling, 2)), images)
    rows, columns = tiling.grid(*size)
    tiles = by_row.reshape(rows, 3, columns, 2, *tiling.size).swapaxes(0, 1)
    expected = torch.cat([torch.stack(list(tiling.cut(image).each_stored())) for image in images])
    scaled = expected / 255 if expected.dtype == torch.uint8 else expected
    np.testing.assert_allclose(tiles.reshape(scaled.shape), scaled, atol=1e-6)
