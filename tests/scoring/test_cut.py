"""How images become tiles: what tiles are cut from, how many, and what a detector keeps of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gradcon_ext import Detector
from gradcon_ext.features import FeatureMaps
from gradcon_ext.models import ConvAutoencoder, FeatureAutoencoder
from gradcon_ext.scoring import cut as cut_module
from gradcon_ext.scoring.cut import Cut, Sources, features_of
from gradcon_ext.tiles import Pooling, Tiling

IMAGES = torch.randint(0, 256, (7, 1, 12, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CUT = Cut(Tiling(8, 4), Pooling("max"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 4, stride=4))


def maps(name: str = "mine:net") -> FeatureMaps:
    return FeatureMaps(network(), ["0"], (3, 4), name=name).standardised([IMAGES])


def detector_of(model: ConvAutoencoder | FeatureAutoencoder) -> Detector:
    weights = {name: weight for name, weight in model.named_parameters() if name.startswith("decoder")}
    references = {name: torch.ones_like(weight) for name, weight in weights.items() if name.endswith("weight")}
    return Detector(model.eval(), references, 1, preprocessing={"channels": model.channels, "size": list(model.size)})


def test_sources_are_the_images_again_and_again() -> None:
    sources = CUT.sources(IMAGES)
    assert len(sources) == 7
    for _ in range(2):
        assert torch.equal(torch.stack([*sources]), IMAGES)
    assert torch.equal(torch.stack([*sources.some(3)]), IMAGES[[0, 2, 4]])
    assert len([*sources.some(100)]) == 7


def test_sources_may_be_of_any_sizes() -> None:
    several = [IMAGES[0], IMAGES[1, :, :9], torch.rand(1, 5, 5)]
    assert [*map(id, Sources(several))] == [*map(id, several)]
    assert [*map(id, Sources(several).some(2))] == [id(several[0]), id(several[1])]


def test_feature_maps_are_what_is_cut() -> None:
    features = maps()
    for image, source in Sources(IMAGES, features).with_images():
        assert torch.equal(source, features(image[None])[0])
    tiles = Cut(Tiling(1, 1), Pooling("max"), features).random_tiles(IMAGES, 70, seed=0)
    assert tiles.shape == (70, 4, 1, 1)
    assert tiles.min() < 0  # standardised, and no pixels


@pytest.mark.parametrize(("most", "expected"), [(70, 70), (73, 70), (3, 3), (1, 1)])
def test_tiles_are_as_many_of_each_image(most: int, expected: int) -> None:
    tiles = CUT.random_tiles(IMAGES, most, seed=1)
    assert tiles.shape == (expected, 1, 8, 8)
    assert tiles.dtype == torch.uint8
    assert torch.equal(tiles, CUT.random_tiles(IMAGES, most, seed=1))


def test_memory_bounds_the_number_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_module, "_MOST_NUMBERS", 21 * 64)
    assert len(CUT.random_tiles(IMAGES, 1000, seed=0)) == 21


def test_a_detector_keeps_how_images_are_cut() -> None:
    detector = CUT.kept_in(detector_of(ConvAutoencoder(1, 8, width=2)), {"channels": 1, "size": None})
    assert detector.preprocessing == {
        "channels": 1,
        "size": [8, 8],
        "image": {"channels": 1, "size": None},
        "tiles": {
            "size": [8, 8],
            "stride": [4, 4],
            "scale": 1.0,
            "even_contrast": False,
            "pooling": "max",
            "balance": None,
        },
    }


@pytest.mark.parametrize(("size", "grid"), [([12, 16], (2, 3)), (None, None)])
def test_places_are_told_apart_where_all_images_have_one_size(
    size: list[int] | None, grid: tuple[int, int] | None
) -> None:
    torch.manual_seed(1)  # with others, so small a model may have no code
    detector = CUT.kept_in(detector_of(ConvAutoencoder(1, 8, width=2)), {"channels": 1, "size": size})
    tiles = CUT.balanced(detector, IMAGES[:5], IMAGES[5:]).preprocessing["tiles"]
    assert tiles["pooling"] == "max"
    assert tiles["balance"]["grid"] == (None if grid is None else list(grid))


def test_the_network_of_features() -> None:
    features = maps()
    detector = Cut(Tiling(1, 1), Pooling("max"), features).kept_in(
        detector_of(FeatureAutoencoder(4, 1, 2)), {"channels": 3, "size": [12, 16]}
    )
    found = features_of(detector, network())
    assert found is not None
    assert torch.equal(found(IMAGES), features(IMAGES))
    with pytest.raises(ValueError, match=r"feature maps of mine:net.*give --features mine:net"):
        features_of(detector)
    with pytest.raises(ValueError, match="fingerprint"):
        features_of(detector, nn.Sequential(nn.Conv2d(3, 4, 4, stride=4)))
    assert features_of(detector_of(ConvAutoencoder(1, 8, width=2))) is None


def test_a_network_of_timm_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_network(name: str) -> nn.Module:
        asked.append(name)
        return network()

    monkeypatch.setattr(cut_module, "load_network", load_network)
    detector = maps("timm:resnet18:1,2").kept_in(detector_of(FeatureAutoencoder(4, 1, 2)))
    assert features_of(detector) is not None
    assert asked == ["timm:resnet18:1,2"]
    unnamed = replace(detector, preprocessing={**detector.preprocessing, "features": {}})
    with pytest.raises(ValueError, match="its file alone is not to decide"):
        features_of(unnamed)
