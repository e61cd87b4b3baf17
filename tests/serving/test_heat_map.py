from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.serving import heat_map as module
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.heat_map import heat_map


def drawn(monkeypatch: pytest.MonkeyPatch, detector: ServedDetector, residual: np.ndarray) -> dict[str, object]:
    monkeypatch.setattr(module, "residual_map", lambda chain, parameters, pixels: residual)
    return heat_map(detector.stored, np.zeros((1, 8, 8), np.uint8))


def test_the_greatest_error_is_white(monkeypatch: pytest.MonkeyPatch, detector: ServedDetector) -> None:
    picture = drawn(monkeypatch, detector, np.array([[0.0, 0.25], [0.5, 0.125]], np.float32))
    assert picture["highest"] == 0.5
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(str(picture["png"])))))
    assert pixels.tolist() == [[0, 128], [255, 64]]


def test_no_error_is_black_and_nonsense_is_no_picture(
    monkeypatch: pytest.MonkeyPatch, detector: ServedDetector
) -> None:
    assert drawn(monkeypatch, detector, np.zeros((2, 2), np.float32))["highest"] == 0
    nothing = drawn(monkeypatch, detector, np.full((2, 2), np.nan, np.float32))
    assert nothing == {"png": None, "highest": None}
