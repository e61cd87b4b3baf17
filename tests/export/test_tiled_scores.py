"""ONNX graphs of detectors of tiles give the scores that the package gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from gradcon_ext import Detector, Tiling, scorer_of
from gradcon_ext.export.score_graph import score_graph
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder
from gradcon_ext.scoring.tile_scoring import TileScorer
from support.memory import peak
from support.onnx_sessions import run, session_of
from support.tiled_detectors import COLUMNS, images_of, rounding_of, stored, tiled, untrained

SHAPE = (1, 15, 21)
OTHERS = images_of(3, SHAPE, seed=7)

CASES: dict[str, dict[str, Any]] = {
    "compared by place": {"tiling": Tiling(8, 4), "pooling": "largest:3"},
    "compared by no place": {"tiling": Tiling(8, 3), "pooling": "max", "by_place": False},
    "made smaller": {"tiling": Tiling(8, 4, 0.6), "pooling": "quantile:0.7"},
    "even contrast": {"tiling": Tiling(8, (5, 3), even_contrast=True), "pooling": "largest:2"},
    "all at once": {"tiling": Tiling(8, 2, 0.7, True), "pooling": "largest:1000", "by_place": False},
    "smaller than a tile": {"tiling": Tiling(8, 4, 0.4), "pooling": "quantile:0"},
}


def assert_scores(given: dict[str, np.ndarray], detector: Detector, images: Tensor) -> None:
    """Check all columns to 1e-5, or to a few times what float32 loses; and the scores of tiles."""
    expected, allowed = scorer_of(detector).score(list(images)), rounding_of(detector, images)
    for name in (name for name in COLUMNS if getattr(expected, name) is not None):
        close(given[name], getattr(expected, name), max(1e-5, allowed[name]), name)
    tiles = TileScorer.from_detector(detector)
    scored = [tiles.score(image).parts for image in images]
    for part in scored[0]:
        name = "anomaly" if part == "combined" else part
        own = torch.stack([parts[part] for parts in scored])
        close(given[f"tiles.{name}"], own, 10 * max(1e-5, allowed[name]), f"tiles.{name}")
    if detector.calibration is not None:
        np.testing.assert_allclose(given["p_value"], expected.p_value, 1e-6)
        np.testing.assert_array_equal(given["is_outlier"], expected.is_outlier)


def close(given: np.ndarray, expected: Tensor, allowed: float, name: str) -> None:
    wanted = expected.numpy()
    assert given.shape == wanted.shape
    np.testing.assert_array_less(np.abs(given - wanted), allowed * np.maximum(1, np.abs(wanted)), name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("in_bytes", [False, True])
def test_images_are_scored_by_their_tiles(name: str, in_bytes: bool, tmp_path: Path) -> None:
    detector = tiled(shape=SHAPE, **CASES[name])
    images = (OTHERS * 255).round().to(torch.uint8) if in_bytes else OTHERS
    session = session_of(stored(detector, tmp_path), in_bytes, SHAPE[1:])
    for count in (1, 3):
        given = run(session, images[:count])
        assert_scores(given, detector, images[:count])
        assert set(given) > {"balanced", "p_value", "is_outlier", "tiles.balanced"}


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_colour_without_a_balance(model_type: type[torch.nn.Module], tmp_path: Path) -> None:
    detector = untrained(model_type(3, (8, 12), width=4))
    facts = {**Tiling((8, 12), scale=0.5).facts, "pooling": "max", "balance": None}
    detector = replace(detector, preprocessing={**detector.preprocessing, "tiles": facts})
    images = images_of(3, (3, 30, 41))
    given = run(session_of(stored(detector, tmp_path), size=(30, 41)), images)
    assert_scores(given, detector, images)
    parts = ("reconstruction", "gradient", "anomaly")
    assert set(given) == {*parts, "latent", "cosine", *(f"tiles.{name}" for name in parts)}


@pytest.mark.parametrize("tile", [1, 2])
def test_maps_of_features_of_any_values(tile: int, tmp_path: Path) -> None:
    model = FeatureAutoencoder(12, tile, 5)
    detector = tiled(Tiling(tile, 1), (12, 4, 6), detector=untrained(model))
    detector = replace(detector, preprocessing={**detector.preprocessing, "features": {"grid": [4, 6]}})
    maps = 3 * images_of(3, (12, 4, 6), seed=7) - 1
    given = run(session_of(stored(detector, tmp_path)), maps)
    assert_scores(given, replace(detector, preprocessing=without(detector, "features")), maps)


def without(detector: Detector, name: str) -> dict[str, Any]:
    return {key: value for key, value in detector.preprocessing.items() if key != name}


def test_a_float64_detector_is_exported_in_float32(tmp_path: Path) -> None:
    detector = untrained()
    detector.model.double()
    detector.references = {name: reference.double() for name, reference in detector.references.items()}
    detector = tiled(Tiling(8, 4), SHAPE, detector=detector)
    given, expected = (
        run(session_of(stored(detector, tmp_path), size=SHAPE[1:]), OTHERS),
        scorer_of(detector).score(OTHERS),
    )
    for name in COLUMNS:
        close(given[name], getattr(expected, name), 1e-4, name)


def test_the_file_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    detector = stored(tiled(Tiling(8, 4), SHAPE), tmp_path)
    model = score_graph(detector, in_bytes=True, size=SHAPE[1:])
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    parts = ("reconstruction", "gradient", "anomaly", "direction", "code", "balanced")
    vectors = {name: ["N"] for name in (*parts, "latent", "p_value", "is_outlier")}
    maps = {f"tiles.{name}": ["N", 3, 5] for name in parts}
    assert shapes == {"images": ["N", 1, 15, 21], "cosine": ["N", 1], **vectors, **maps}
    assert {node.domain for node in every_node(model.graph)} == {""}
    known = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(known["layers"]) == ["mean"]


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Those of a graph, and of the graphs within."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from every_node(attribute.g)


def test_memory_holds_one_row_of_tiles_alone(tmp_path: Path) -> None:
    detector = untrained()
    facts = {**Tiling(8, 1).facts, "pooling": "max", "balance": None}
    detector = replace(detector, preprocessing={**detector.preprocessing, "tiles": facts})
    session = session_of(stored(detector, tmp_path), size=(150, 150))
    run(session, np.zeros((1, 1, 150, 150), np.float32))
    images = np.random.default_rng(0).random((1, 1, 150, 150), np.float32)
    assert 143**2 * 8 * 8 * 4 > 5e6
    used = peak(lambda: run(session, images))
    assert used < 30e6


def test_a_nan_stays_with_its_image(tmp_path: Path) -> None:
    session = session_of(stored(tiled(Tiling(8, 4), SHAPE), tmp_path), size=SHAPE[1:])
    images = OTHERS.clone()
    images[1, 0, 2, 2] = torch.nan
    given = run(session, images)
    assert np.isnan(given["balanced"]).tolist() == [False, True, False]
    assert given["is_outlier"][1]


def test_an_image_with_another_grid_is_refused(tmp_path: Path) -> None:
    detector = stored(tiled(Tiling(8, 4), SHAPE), tmp_path)
    with pytest.raises(ValueError, match="30x20 has a grid of 7x4 tiles; .* place in one of 3x5"):
        score_graph(detector, size=(30, 20))
