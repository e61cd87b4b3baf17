"""Images are made smaller as torch makes them, bytes to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from gradcon_ext.export.onnx_graph import OnnxGraph
from gradcon_ext.export.resampling import resized, taps_of
from support.onnx_sessions import value_of

SIZES = {
    "by half": ((40, 50), (20, 25)),
    "hardly": ((31, 17), (30, 16)),
    "by many": ((90, 70), (7, 3)),
    "rows alone": ((33, 10), (11, 10)),
    "columns alone": ((9, 64), (9, 19)),
    "not at all": ((9, 12), (9, 12)),
    "far from the start": ((2, 3000), (2, 2331)),
    "to a single row": ((30, 40), (1, 2)),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("in_bytes", [False, True])
def test_pixels_are_those_of_torch(name: str, channels: int, in_bytes: bool) -> None:
    given, wanted = SIZES[name]
    images = torch.rand(2, channels, *given)
    if in_bytes:
        images = torch.randint(0, 256, images.shape, dtype=torch.uint8)
    expected = images
    if given != wanted:
        expected = F.interpolate(images, wanted, mode="bilinear", antialias=True, align_corners=False)
    graph = OnnxGraph((channels, *given), in_bytes)
    pixels = value_of(graph, resized(graph, (channels, *given), wanted), images)
    if in_bytes:
        np.testing.assert_array_equal(pixels, expected.float() / 255)
    else:
        np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_no_tap_is_beyond_the_image() -> None:
    for length in range(1, 60):
        for wanted in range(1, length + 1):
            sources, weights = taps_of(length, wanted, np.float64)
            assert sources.min() >= 0
            assert sources.max() < length
            np.testing.assert_allclose(weights.sum(1), 1)


def test_a_width_of_one_pixel_is_refused() -> None:
    graph = OnnxGraph((1, 30, 4), in_bytes=False)
    with pytest.raises(ValueError, match="single pixel wide: give a larger --size"):
        resized(graph, (1, 30, 4), (8, 1))
