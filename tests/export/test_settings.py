"""What a detector of tiles can be exported for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradcon_ext import Tiling
from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.export.settings import exported_shape, settings_of
from gradcon_ext.models import FeatureAutoencoder
from support.tiled_detectors import stored, tiled, untrained

TILES = {**Tiling(8, 4).facts, "pooling": "max", "balance": None}


@pytest.fixture
def saved(tmp_path):
    def of(model=None, **preprocessing: Any) -> StoredChain:
        detector = untrained(model)
        return stored(replace(detector, preprocessing={**detector.preprocessing, **preprocessing}), tmp_path)

    return of


def test_images_of_any_size_need_one(saved) -> None:
    detector = saved(tiles=TILES)
    assert exported_shape(detector, (30, 40)) == (1, 30, 40)
    with pytest.raises(ValueError, match="give --size HEIGHTxWIDTH"):
        exported_shape(detector, None)


@pytest.mark.parametrize(
    ("preprocessing", "shape"),
    [
        ({"tiles": TILES, "image": {"channels": 1, "size": [20, 31]}}, (1, 20, 31)),
        ({"tiles": TILES, "image": {"channels": 3, "size": 28}, "features": {"grid": [9, 12]}}, (1, 9, 12)),
        ({}, (1, 8, 8)),
    ],
)
def test_those_of_one_size_have_it(saved, preprocessing: dict[str, Any], shape: tuple[int, ...]) -> None:
    detector = saved(**preprocessing)
    assert exported_shape(detector, None) == exported_shape(detector, shape[1:]) == shape
    with pytest.raises(ValueError, match=f"{shape[1]}x{shape[2]} pixels or positions alone"):
        exported_shape(detector, (50, 50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [4, 4]}, "tiles are 4x4, and its model takes 8x8"),
        ({"pooling": "sum"}, "largest:3"),
        ({"scale": "x"}, "damaged"),
    ],
)
def test_what_does_not_fit_is_refused(saved, change: dict[str, Any], message: str) -> None:
    detector = saved(tiles={**TILES, **change})
    assert detector.tiles.golden is None
    with pytest.raises(ValueError, match=message):
        settings_of(detector, detector.tiles)


def test_a_balance_of_other_codes_is_refused(tmp_path) -> None:
    detector = tiled(Tiling(8, 4), (1, 15, 21))
    fewer = {name: array[:-1] for name, array in detector.extra.items() if name.endswith((".mean", ".basis"))}
    detector = stored(replace(detector, extra=detector.extra | fewer), tmp_path)
    with pytest.raises(ValueError, match="codes of 31 numbers; the model's have 32"):
        settings_of(detector, detector.tiles)


def test_feature_maps_have_no_contrast(saved) -> None:
    facts = {**Tiling(2, 1, even_contrast=True).facts, "pooling": "max", "balance": None}
    detector = saved(FeatureAutoencoder(5, 2, 3), tiles=facts)
    with pytest.raises(ValueError, match="no contrast"):
        settings_of(detector, detector.tiles)
