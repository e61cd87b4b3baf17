"""How far two engines may be from each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext import Detector, Tiling, balanced
from gradcon_ext.detector.stored_chain import read_stored_chain
from gradcon_ext.export.engines import fused
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.standard import TOLERANCE, standard_for, standard_of, standard_of_whole_images
from gradcon_ext.models import ConvAutoencoder
from support.onnx_sessions import run, session_of
from support.tiled_detectors import stored as stored_tiles
from support.tiled_detectors import tiled

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 12, 12)).astype(np.uint8)
SHAPE = (1, 15, 21)


@pytest.fixture
def stored(tmp_path):
    """What the file of a balanced detector holds, whose codes vary by so much around one that is far from zero."""

    def of(spread, mean=1, dtype=torch.float32):
        torch.manual_seed(0)
        model = ConvAutoencoder(size=12, width=4).to(dtype).eval()
        last = [module for module in model.encoder if hasattr(module, "weight")][-1]
        with torch.no_grad():
            last.weight *= spread
            last.bias += mean
        weights = {name: weight for name, weight in model.named_parameters() if "decoder" in name and weight.dim() > 1}
        detector = Detector(model, {name: torch.randn_like(weight) for name, weight in weights.items()}, 1)
        path = tmp_path / "detector.safetensors"
        balanced(detector, IMAGES[:40], IMAGES[40:]).save(path)
        return path, read_stored_chain(path)[1]

    return of


def differences_of_our_op(path, detector, standard):
    return standard.differences(fused(path, detector, detector.golden.images))


def test_engines_agree_to_the_tolerance_where_float32_does(stored):
    path, detector = stored(spread=1, mean=0)
    standard = standard_of(detector, detector.golden)
    assert set(standard.allowed().values()) == {TOLERANCE}
    differences = differences_of_our_op(path, detector, standard)
    assert differences.keys() == standard.allowed().keys()
    assert max(differences.values()) <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # of which an ONNX graph is in float32 too
def test_codes_that_hardly_vary_are_rounded_further(stored, dtype):
    _, detector = stored(spread=1e-4, dtype=dtype)
    allowed = standard_of(detector, detector.golden).allowed()
    assert TOLERANCE < allowed.pop("balanced") <= 1e-3
    assert set(allowed.values()) == {TOLERANCE}


def test_a_wrong_score_is_beyond_it(stored):
    path, detector = stored(spread=1e-4)
    scores = detector.golden.scores.copy()
    scores[0] *= 1.01
    standard = standard_of(detector, detector.golden._replace(scores=scores))
    allowed, differences = standard.allowed(), differences_of_our_op(path, detector, standard)
    assert all(differences[name] > allowed[name] for name in ("anomaly", "balanced"))


def test_golden_scores_of_a_layer_that_there_is_not_are_refused(stored):
    path, detector = stored(spread=1)
    columns = [name.replace("cosine.decoder.0", "cosine.other") for name in detector.golden.columns]
    standard = standard_of(detector, detector.golden._replace(columns=columns))
    with pytest.raises(ValueError, match="damaged: there is no cosine.other.weight"):
        differences_of_our_op(path, detector, standard)


@pytest.fixture
def of_tiles(tmp_path):
    def of(scale=1.0, by_place=True):
        return stored_tiles(tiled(Tiling(8, 4, scale), SHAPE, by_place=by_place), tmp_path)

    return of


def test_whole_images_are_scored_by_their_tiles(of_tiles):
    detector = of_tiles()
    standard = standard_of_whole_images(detector, detector.tiles, detector.tiles.golden)
    assert standard.golden.images.shape == (4, 1, 16, 24)  # which the grid covers without a rest
    assert {"direction", "code", "balanced", "cosine.mean"} <= standard.allowed().keys()
    parts = standard.computed()
    assert max(standard.differences(parts).values()) <= TOLERANCE
    wrong = {**parts, "balanced": parts["balanced"] * 1.01}
    assert standard.differences(wrong)["balanced"] > standard.allowed()["balanced"]


@pytest.mark.parametrize(
    ("scale", "shape", "in_bytes", "is_golden"),
    [
        (1.0, (1, 12, 16), True, True),
        (1.0, (1, 12, 16), False, True),
        (1.0, (1, 12, 17), True, False),
        (0.5, (1, 24, 32), True, True),
        (0.5, (1, 24, 32), False, False),  # bytes are rounded where they are made smaller
    ],
)
def test_a_program_is_held_against_golden_scores_or_noise(of_tiles, scale, shape, in_bytes, is_golden):
    detector = of_tiles(scale, by_place=False)
    standard = standard_for(Opened(shape, in_bytes, dict), detector, detector.tiles)
    assert (standard.golden is detector.tiles.golden) == is_golden
    images = standard.golden.images
    assert images.shape[1:] == shape
    given = images if in_bytes else images.astype(np.float32) / 255
    differences = standard.differences(run(session_of(detector, in_bytes, shape[1:]), given))
    assert all(differences[name] <= allowed for name, allowed in standard.allowed().items())


@pytest.mark.parametrize("shape", [("C", "H", "W"), (10,), (1, 0, 5), (3, 16, 24), (1, None, 24)])
def test_a_program_of_other_images_is_refused(of_tiles, shape):
    detector = of_tiles()
    with pytest.raises(ValueError, match=r"scores images of the shape .*; expected \(1, height, width\)"):
        standard_for(Opened(shape, True, dict), detector, detector.tiles)
