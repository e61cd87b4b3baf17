"""One program cuts images, scores their tiles and pools the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradcon_ext import Tiling, scorer_of
from gradcon_ext.export.pt2 import tile_program_of
from gradcon_ext.scoring.tile_scoring import TileScorer
from support.tiled_detectors import COLUMNS, images_of, stored, tiled

SHAPE = (1, 15, 21)
IMAGES = images_of(3, SHAPE, seed=7)


@pytest.mark.parametrize("by_place", [True, False])
@pytest.mark.parametrize("in_bytes", [True, False])
@pytest.mark.parametrize("pooling", ["max", "largest:3", "quantile:0.4"])
def test_it_scores_as_the_scorer_does(by_place: bool, in_bytes: bool, pooling: str, tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4, 0.7), SHAPE, pooling, by_place)
    saved = stored(detector, tmp_path)
    images = (IMAGES * 255).to(torch.uint8) if in_bytes else IMAGES
    with torch.no_grad():
        given = tile_program_of(saved, saved.tiles)(images)
    expected = scorer_of(detector).score(images)
    for name in (*COLUMNS, "is_outlier"):
        torch.testing.assert_close(given[name], getattr(expected, name), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(given["p_value"], expected.p_value, 1e-6)
    tiles = TileScorer.from_detector(detector).score(images[1]).parts
    torch.testing.assert_close(given["tiles.anomaly"][1], tiles["combined"])
    torch.testing.assert_close(given["tiles.code"][1], tiles["code"], rtol=1e-4, atol=1e-4)


def test_golden_scores_of_whole_images_are_those_of_the_scorer(tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4), SHAPE)
    golden = stored(detector, tmp_path).tiles.golden
    assert golden.images.shape == (4, 1, 16, 24)  # which that grid of tiles covers without a rest
    expected = scorer_of(detector).score(golden.images)
    for name, scores in zip(golden.columns, golden.scores.T, strict=True):
        wanted = expected.cosine[:, 0] if name == "cosine.mean" else getattr(expected, name)
        np.testing.assert_allclose(scores, wanted, 1e-5, 1e-5)
    assert {"balanced", "cosine.mean"} < set(golden.columns)


def test_they_are_of_the_size_that_images_are_brought_to(tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4), SHAPE)
    sized = replace(detector, preprocessing={**detector.preprocessing, "image": {"channels": 1, "size": [15, 21]}})
    assert stored(sized, tmp_path).tiles.golden.images.shape == (4, 1, 15, 21)


def test_where_any_grid_will_do_they_are_not_of_large_images(tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4), SHAPE, by_place=False)
    sized = replace(detector, preprocessing={**detector.preprocessing, "image": {"channels": 1, "size": [1024, 1025]}})
    assert stored(sized, tmp_path).tiles.golden.images.shape == (4, 1, 12, 16)


def test_a_grid_that_does_not_fit_its_balance_leaves_none(tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4), SHAPE)
    sized = replace(detector, preprocessing={**detector.preprocessing, "image": {"channels": 1, "size": [40, 40]}})
    saved = stored(sized, tmp_path)
    assert saved.golden is not None
    assert saved.tiles.golden is None
