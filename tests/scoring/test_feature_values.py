"""A model that says so is trained and scored on values beyond [0, 1]; any other is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gradcon_ext import Scorer, Trainer, balanced, runtime
from gradcon_ext.models import ConvAutoencoder, FeatureAutoencoder

MAPS = 40 * torch.rand(64, 3, 2, 2, generator=torch.Generator().manual_seed(0)) - 30


class OwnAutoencoder(ConvAutoencoder):
    """No model of the library, which takes feature maps."""

    accepts = "features"


class Items(torch.utils.data.Dataset[Tensor]):
    def __len__(self) -> int:
        return len(MAPS)

    def __getitem__(self, index: int) -> Tensor:
        return MAPS[index]


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    trained = Trainer(FeatureAutoencoder(3, 2, 4), epochs=2, progress=False).fit(MAPS[:40], MAPS[40:])
    return balanced(trained, MAPS[:40], MAPS[40:])


@pytest.mark.parametrize("images", [MAPS, MAPS.numpy(), Items()], ids=["tensor", "array", "data set"])
def test_feature_maps_are_scored_from_any_container(detector, images) -> None:
    scorer = Scorer.from_detector(detector)
    scores = scorer.score(images)
    assert scorer.engine.name == "fused chain"
    with torch.no_grad():
        expected = (detector.model(MAPS) - MAPS).square().mean((1, 2, 3))
    torch.testing.assert_close(scores.reconstruction, expected)
    streamed = torch.cat([some.anomaly for some in scorer.score_batches(MAPS.split(7))])
    torch.testing.assert_close(streamed, scores.anomaly)


def test_a_machine_without_torch_agrees(detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "detector.safetensors")
    scorer = runtime.Scorer.load(tmp_path / "detector.safetensors")
    scores, expected = scorer.score(MAPS.numpy()), Scorer.from_detector(detector).score(MAPS)
    np.testing.assert_allclose(scores.anomaly, expected.anomaly, rtol=1e-4)
    np.testing.assert_allclose(scores.balanced, expected.balanced, atol=1e-3)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="image 5 has NaN or infinite"):
            scorer.score(np.where(np.arange(64)[:, None, None, None] == 5, wrong, MAPS.numpy()))


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_values_must_be_finite(detector, wrong: float) -> None:
    maps = MAPS.clone()
    maps[5, 1] = wrong
    scorer = Scorer.from_detector(detector)
    for score in (scorer.score, lambda some: list(scorer.score_batches([some]))):
        with pytest.raises(ValueError, match="image 5 has NaN or infinite"):
            score(maps)
    with pytest.raises(ValueError, match="image 5 has NaN or infinite"):
        Trainer(FeatureAutoencoder(3, 2, 4), progress=False).fit(maps, MAPS)


def test_a_model_of_pixels_refuses_them() -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Trainer(ConvAutoencoder(3, 2, 4), progress=False).fit(MAPS, MAPS)


def test_a_model_of_ones_own_may_say_so() -> None:
    detector = Trainer(OwnAutoencoder(3, 2, 4), epochs=1, progress=False).fit(MAPS, MAPS)
    assert Scorer.from_detector(detector).score(MAPS).anomaly.isfinite().all()
