"""Images are scored by whatever a detector was trained on; scores of tiles are pooled part by part."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Detector, PooledScorer, Scorer, TileScorer, calibrated, scorer_of
from gradcon_ext.features import FeatureMaps
from gradcon_ext.models import ConvAutoencoder, FeatureAutoencoder
from gradcon_ext.scoring.cut import Cut
from gradcon_ext.tiles import Pooling, Tiling

PARTS = ("reconstruction", "gradient", "combined", "direction", "code", "balanced")


def images_of(count: int, size: tuple[int, int] = (14, 20), seed: int = 0) -> Tensor:
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed))


TRAIN, HELD_OUT, OTHERS = (images_of(count, seed=count) for count in (20, 6, 5))
SEVERAL = [images_of(1, size)[0] for size in ((14, 20), (30, 9), (5, 6))]


def detector_of(model: nn.Module) -> Detector:
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    generator = torch.Generator().manual_seed(3)
    references = {name: torch.randn(model.get_parameter(name).shape, generator=generator) for name in names}
    return Detector(model.eval(), references, 1, preprocessing={"channels": model.channels, "size": list(model.size)})


def untrained() -> Detector:
    torch.manual_seed(1)
    return detector_of(ConvAutoencoder(1, 8, width=2))


def cut_detector(pooling: str = "largest:3") -> Detector:
    cut = Cut(Tiling(8, 4), Pooling.parse(pooling))
    return cut.balanced(cut.kept_in(untrained(), {"channels": 1, "size": None}), TRAIN, HELD_OUT)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return cut_detector()


def test_whole_images_have_the_scorer_of_old() -> None:
    scorer = scorer_of(untrained())
    assert isinstance(scorer, Scorer)
    assert torch.equal(
        scorer.score(images_of(3, (8, 8))).anomaly,
        Scorer.from_detector(untrained()).score(images_of(3, (8, 8))).anomaly,
    )


@pytest.mark.parametrize("pooling", ["max", "largest:3", "quantile:0.9"])
def test_each_part_is_pooled_by_itself(pooling: str) -> None:
    made = cut_detector(pooling)
    scores = scorer_of(replace(made, part="balanced")).score(SEVERAL)
    tiles = TileScorer.from_detector(made)
    for index, image in enumerate(SEVERAL):
        parts = tiles.score(image).parts
        expected = {name: Pooling.parse(pooling)(values) for name, values in parts.items()}
        assert expected.keys() == set(PARTS)
        assert scores.anomaly[index] == expected["combined"]
        assert scores.gradient[index] == expected["gradient"]
        assert scores.cosine[index].tolist() == [-expected["gradient"]]
        assert scores.latent[index] == 0
        for name in ("reconstruction", "direction", "code", "balanced"):
            assert getattr(scores, name)[index] == expected[name]


def test_a_part_without_a_balance_is_refused() -> None:
    bare = Cut(Tiling(8, 4), Pooling("max")).kept_in(untrained(), {"channels": 1, "size": None})
    assert scorer_of(bare).score(OTHERS).balanced is None
    with pytest.raises(ValueError, match="needs a detector with a balance"):
        scorer_of(replace(bare, part="balanced"))


def test_no_images_are_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="no images"):
        scorer_of(detector).score([])


def test_verdicts_are_of_pooled_scores(detector: Detector) -> None:
    made = calibrated(replace(detector, part="balanced"), HELD_OUT, rate=0.3)
    scorer = scorer_of(made)
    known, scores = scorer.score(HELD_OUT).balanced, scorer.score(OTHERS)
    assert known is not None
    assert scores.balanced is not None
    expected = [(1 + int((known >= score).sum())) / 7 for score in scores.balanced]
    assert scores.p_value is not None
    assert scores.is_outlier is not None
    assert scores.p_value.tolist() == pytest.approx(expected)
    assert torch.equal(scores.is_outlier, scores.p_value <= 0.3)
    # Single tiles have none, for the calibration is of images.
    assert Scorer.from_detector(made).score(images_of(3, (8, 8))).p_value is None
    with pytest.raises(ValueError, match="latent"):
        PooledScorer(TileScorer.from_detector(made), None, "latent", made.calibration)


def test_maps_are_at_the_size_of_each_image(detector: Detector) -> None:
    scorer = scorer_of(replace(detector, part="code"))
    for image, maps in zip(SEVERAL, scorer.maps(SEVERAL), strict=True):
        assert maps.keys() == {"score", *(f"score.{name}" for name in PARTS)}
        assert all(values.shape == (1, *image.shape[1:]) for values in maps.values())
        assert torch.equal(maps["score"], maps["score.code"])
        assert torch.equal(maps["score.code"][0], TileScorer.from_detector(detector).score(image).score_map("code"))


def test_an_explanation_has_the_map_of_each_image_at_its_own_size(detector: Detector) -> None:
    scorer = scorer_of(detector)
    explained = scorer.explain(SEVERAL).maps
    for index, maps in enumerate(scorer.maps(SEVERAL)):
        assert explained.keys() == maps.keys()
        assert all(torch.equal(explained[name][index], values[0]) for name, values in maps.items())
    with pytest.raises(ValueError, match="there are no images"):
        scorer.explain([])


def test_feature_maps_are_made_of_images_first() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
    features = FeatureMaps(network, ["0"], (3, 5), name="mine:net").standardised([TRAIN])
    cut = Cut(Tiling(1, 1), Pooling("max"), features)
    made = cut.balanced(
        cut.kept_in(detector_of(FeatureAutoencoder(4, 1, 2)), {"channels": 1, "size": [14, 20]}), TRAIN, HELD_OUT
    )
    scorer = scorer_of(replace(made, part="balanced"), network=network)
    expected = TileScorer.from_detector(made).score_images(features(OTHERS))
    scores = scorer.score(OTHERS)
    assert scores.balanced is not None
    torch.testing.assert_close(scores.balanced, expected["balanced"], rtol=1e-4, atol=1e-4)
    assert all(maps["score"].shape == (1, 14, 20) for maps in scorer.maps(OTHERS))
    with pytest.raises(ValueError, match="give --features mine:net"):
        scorer_of(made)
