"""How far two engines may be from each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext import Detector, balanced
from gradcon_ext.detector.stored_chain import read_stored_chain
from gradcon_ext.export.engines import TOLERANCE, allowed_differences, fused, largest_differences
from gradcon_ext.models import ConvAutoencoder

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 12, 12)).astype(np.uint8)


@pytest.fixture
def stored(tmp_path):
    """What the file of a balanced detector holds, whose codes vary by so much around one that is far from zero."""

    def of(spread, mean=1):
        torch.manual_seed(0)
        model = ConvAutoencoder(size=12, width=4).eval()
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


def test_engines_agree_to_the_tolerance_where_float32_does(stored):
    path, detector = stored(spread=1, mean=0)
    allowed = allowed_differences(detector, detector.golden)
    assert set(allowed.values()) == {TOLERANCE}
    differences = largest_differences(detector, detector.golden, fused(path, detector, detector.golden.images))
    assert differences.keys() == allowed.keys()
    assert max(differences.values()) <= TOLERANCE


def test_codes_that_hardly_vary_are_rounded_further(stored):
    _, detector = stored(spread=1e-4)
    allowed = allowed_differences(detector, detector.golden)
    assert TOLERANCE < allowed.pop("balanced") <= 1e-3
    assert set(allowed.values()) == {TOLERANCE}


def test_a_wrong_score_is_beyond_it(stored):
    _, detector = stored(spread=1e-4)
    golden = detector.golden
    scores = golden.scores.copy()
    scores[0] *= 1.01
    allowed = allowed_differences(detector, golden)
    differences = largest_differences(detector, golden._replace(scores=scores), fused(None, detector, golden.images))
    assert all(differences[name] > allowed[name] for name in ("anomaly", "balanced"))
