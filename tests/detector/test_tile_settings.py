"""What a detector's file says of tiles; damaged facts are in tests/scoring/test_tile_scoring.py."""

from __future__ import annotations

from typing import Any

import pytest

from gradcon_ext import Tiling
from gradcon_ext.detector.tile_settings import TileSettings, tiled_size
from gradcon_ext.tiles import Pooling
from support.tiled_detectors import tiled


def test_settings_are_those_that_were_kept() -> None:
    detector = tiled(Tiling(8, 4, 0.5), (1, 30, 42), "quantile:0.9")
    settings = TileSettings.read(detector.preprocessing["tiles"], detector.extra)
    assert (settings.tiling, settings.pooling) == (Tiling(8, 4, 0.5), Pooling("quantile", 0.9))
    assert settings.balance is not None
    assert settings.grid(30, 42) == settings.balance.grid == (3, 5)
    with pytest.raises(ValueError, match="image 7 of 42x30 has a grid of 5x3 tiles; .* in one of 3x5"):
        settings.grid(42, 30, "image 7")


def test_without_a_balance_any_grid_will_do() -> None:
    facts = {**Tiling(8, 4).facts, "pooling": "max", "balance": None}
    assert TileSettings.read(facts, {}).grid(100, 9) == (24, 2)


@pytest.mark.parametrize(
    ("preprocessing", "size"),
    [
        ({}, None),
        ({"image": {"channels": 1, "size": None}}, None),
        ({"image": {"channels": 1, "size": 30}}, (30, 30)),
        ({"image": {"channels": 1, "size": [30, 40]}}, (30, 40)),
        ({"image": {"channels": 1, "size": 30}, "features": {"grid": [4, 6]}}, (4, 6)),
    ],
)
def test_the_size_of_what_is_cut(preprocessing: dict[str, Any], size: tuple[int, int] | None) -> None:
    assert tiled_size(preprocessing) == size


@pytest.mark.parametrize("preprocessing", [{"features": {"grid": [0, 4]}}, {"image": {"size": "large"}}])
def test_a_damaged_size_is_refused(preprocessing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="size must be"):
        tiled_size(preprocessing)
