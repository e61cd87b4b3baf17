"""Feature maps are what the stages of a network make of images, and a detector knows them again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gradcon_ext import Detector, Scorer
from gradcon_ext.features import FeatureMaps
from gradcon_ext.features.bands import band_departures
from gradcon_ext.features.fingerprint import fingerprint
from gradcon_ext.features.surroundings import with_surroundings
from gradcon_ext.models import FeatureAutoencoder

STAGES = ("1", "3")


class Pyramid(nn.Sequential):
    """A network with stages at half and at an eighth of the size of an image."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 6, 4, stride=4),
            nn.Dropout(),
        )


class Listing(Pyramid):
    """One that returns its maps, as timm's do."""

    def forward(self, images: Tensor) -> list[Tensor]:
        half = self[1](self[0](images))
        return [half, self[2](half)]


@pytest.fixture
def network() -> nn.Module:
    return Pyramid()


def test_stages_are_resampled_to_one_grid(network: nn.Module) -> None:
    images = torch.rand(5, 3, 32, 48)
    maps = FeatureMaps(network, STAGES, (6, 8), input_mean=(0.1, 0.2, 0.3), input_std=(1, 2, 4))(images)
    inputs = (images - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([1, 2, 4])[:, None, None]
    with torch.no_grad():
        half = network[1](network[0](inputs))
        eighth = network[2](half)
    expected = [F.adaptive_avg_pool2d(half, (6, 8)), F.interpolate(eighth, (6, 8), mode="bilinear")]
    assert maps.shape == (5, 10, 6, 8)
    torch.testing.assert_close(maps, torch.cat(expected, 1))


def test_a_network_may_return_its_maps(network: nn.Module) -> None:
    listing = Listing()
    listing.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(FeatureMaps(listing, (), 8)(images), FeatureMaps(network, STAGES, 8)(images))


def test_the_network_is_frozen_and_keeps_no_hooks(network: nn.Module) -> None:
    before = fingerprint(network.train())
    FeatureMaps(network, STAGES)(torch.rand(2, 3, 32, 32))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert fingerprint(network) == before
    assert not any(module._forward_hooks for module in network.modules())


def test_grey_bytes_are_red_green_and_blue_alike(network: nn.Module) -> None:
    grey = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    maps = FeatureMaps(network, STAGES, 8)
    torch.testing.assert_close(maps(grey), maps((grey.float() / 255).expand(-1, 3, -1, -1)))


def test_channels_are_standardised_over_training_images(network: nn.Module) -> None:
    with torch.no_grad():
        network[2].weight[0] = 0  # a channel that never changes
    images = torch.rand(12, 3, 32, 32)
    maps = FeatureMaps(network, STAGES, 8).standardised(images.split(5))
    values = maps(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(10), atol=1e-4, rtol=0)
    deviations = values.std(1, correction=0)
    assert float(deviations[4]) < 1e-3
    torch.testing.assert_close(deviations[[0, 1, 2, 3, 5, 6, 7, 8, 9]], torch.ones(9), atol=1e-4, rtol=0)
    torch.testing.assert_close(maps.standardised(images.split(5))(images), maps(images))


def test_the_means_of_their_surroundings_and_bands_are_standardised_as_well(network: nn.Module) -> None:
    images = torch.rand(5, 3, 32, 32)
    own = FeatureMaps(network, STAGES, (4, 6))(images)
    maps = FeatureMaps(network, STAGES, (4, 6), surroundings=[3, 5], bands=[1])
    assert torch.equal(maps(images), torch.cat([with_surroundings(own, [3, 5]), *band_departures(own, [1])], 1))
    values = maps.standardised([images])(images).transpose(0, 1).flatten(1)
    assert values.shape[0] == 40
    torch.testing.assert_close(values.mean(1), torch.zeros(40), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(1, correction=0), torch.ones(40), atol=1e-4, rtol=0)


def test_surroundings_and_bands_are_kept_and_absent_from_older_files(network: nn.Module) -> None:
    images = torch.rand(3, 3, 32, 32)
    maps = FeatureMaps(network, STAGES, 8, surroundings=(3, 5), bands=(1, 3)).standardised([images])
    facts = {"features": maps.facts}
    extra = {"features.mean": maps.mean, "features.std": maps.std}
    again = FeatureMaps.of_detector(Detector(network, {}, 1, preprocessing=facts, extra=extra), network)
    assert torch.equal(again(images), maps(images))
    added = ("surroundings", "bands")
    older = {"features": {name: fact for name, fact in maps.facts.items() if name not in added}}
    of_older = FeatureMaps.of_detector(Detector(network, {}, 1, preprocessing=older), network)
    assert (of_older.surroundings, of_older.bands) == ((), ())


def test_a_detector_knows_its_features_again(network: nn.Module, tmp_path) -> None:
    images = torch.rand(4, 3, 32, 32)
    maps = FeatureMaps(network, STAGES, 8, name="pyramid").standardised([images])
    model = FeatureAutoencoder(10, 8, 4).eval()
    detector = Detector(model, {"decoder.0.weight": torch.randn_like(model.decoder[0].weight)}, 1)
    maps.kept_in(detector).save(tmp_path / "detector.safetensors")
    loaded = Detector.load(tmp_path / "detector.safetensors")
    assert loaded.preprocessing["features"]["name"] == "pyramid"
    again = FeatureMaps.of_detector(loaded, network)
    assert torch.equal(again(images), maps(images))
    assert again.facts == maps.facts
    scores = Scorer.from_detector(loaded).score(again(images))
    assert bool(scores.anomaly.isfinite().all())
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="features are of pyramid with the fingerprint [0-9a-f]{32}; this network"):
        FeatureMaps.of_detector(loaded, network)
    with pytest.raises(ValueError, match="names no network"):
        FeatureMaps.of_detector(detector, network)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": None}, "damaged"),
        ({"grid": 0}, "positive"),
        ({"stages": ["9"]}, "no module '9'"),
        ({"surroundings": "3"}, "odd numbers"),
        ({"surroundings": [2]}, "odd numbers"),
        ({"bands": [2]}, "odd numbers"),
        ({"bands": 3}, "odd numbers"),
    ],
)
def test_damaged_facts_are_refused(network: nn.Module, change: dict[str, object], message: str) -> None:
    facts = {**FeatureMaps(network, STAGES, 8).facts, **change}
    detector = Detector(network, {}, 1, preprocessing={"features": facts})
    with pytest.raises(ValueError, match=message):
        FeatureMaps.of_detector(detector, network)


def test_a_damaged_statistic_is_refused(network: nn.Module) -> None:
    preprocessing = {"features": FeatureMaps(network, STAGES, 8).facts}
    detector = Detector(
        network, {}, 1, preprocessing=preprocessing, extra={"features.mean": torch.full((3,), torch.nan)}
    )
    with pytest.raises(ValueError, match="mean of feature maps is damaged"):
        FeatureMaps.of_detector(detector, network)
    other = FeatureMaps(network, STAGES, 8, mean=torch.zeros(3), std=torch.ones(3))
    with pytest.raises(ValueError, match="10 channels; 3 were standardised"):
        other(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": ["7"]}, "Pyramid has no module '7'; it has 0, 1, 2, 3"),
        ({"grid": 0}, "positive"),
        ({"input_std": (1, 1)}, "deviations"),
        ({"input_std": (1, 1, 0)}, "deviations"),
        ({"surroundings": [5, 4]}, r"odd numbers of positions from 3, such as \[5, 13\]; got \[5, 4\]"),
        ({"surroundings": 9}, "odd numbers"),
        ({"bands": [4]}, r"odd numbers of rows, such as \[7\]; got \[4\]"),
        ({"bands": 7}, "odd numbers"),
    ],
)
def test_wrong_arguments_are_refused(network: nn.Module, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureMaps(network, **arguments)


def test_stages_that_give_no_map_are_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    twice = nn.Sequential(step := nn.Conv2d(3, 3, 1), step)
    images = torch.rand(2, 3, 2, 2)
    with pytest.raises(ValueError, match="1 of Sequential gives .2, 2.; expected maps"):
        FeatureMaps(flat, ["1"])(images)
    with pytest.raises(ValueError, match="0 of Sequential was run 2 times"):
        FeatureMaps(twice, ["0"])(images)
    with pytest.raises(ValueError, match="2 channels; the network takes 3"):
        FeatureMaps(Pyramid(), STAGES)(torch.rand(1, 2, 32, 32))
    with pytest.raises(ValueError, match="no images to standardise"):
        FeatureMaps(Pyramid(), STAGES).standardised([])


def test_a_fingerprint_tells_names_types_shapes_and_values() -> None:
    layer = nn.Conv2d(2, 2, 1)
    other = nn.Conv2d(2, 2, 1)
    assert fingerprint(layer) != fingerprint(other)
    other.load_state_dict(layer.state_dict())
    assert fingerprint(layer) == fingerprint(other)
    assert len(set(map(fingerprint, (layer, copy.deepcopy(layer).double(), nn.Sequential(layer))))) == 3
    assert fingerprint(nn.BatchNorm2d(3)) == fingerprint(nn.BatchNorm2d(3))
