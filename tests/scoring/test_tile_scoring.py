"""Images are scored by their tiles: each part as the scorer of tiles has it, pooled, and placed in the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gradcon_ext import Detector, Scorer, balanced, runtime
from gradcon_ext.detector.balance import WEIGHTS, at_length_1
from gradcon_ext.models import ConvAutoencoder, FeatureAutoencoder
from gradcon_ext.scoring.tile_balancing import SHRINKAGE, balanced_tiles
from gradcon_ext.scoring.tile_scoring import TileScorer
from gradcon_ext.tiles import Pooling, Tiling
from support.memory import peak

TILING = Tiling(8, 4)


def images_of(count: int, channels: int = 1, size: tuple[int, int] = (14, 20), seed: int = 0) -> Tensor:
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


TRAIN, HELD_OUT, OTHERS = (images_of(count, seed=count) for count in (30, 6, 5))


def detector_of(model: torch.nn.Module) -> Detector:
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    references = {name: torch.randn_like(model.get_parameter(name)) for name in names}
    preprocessing = {"channels": model.channels, "size": list(model.size)}
    return Detector(model.eval(), references, 1, preprocessing=preprocessing)


def untrained() -> Detector:
    torch.manual_seed(1)
    return detector_of(ConvAutoencoder(1, 8, width=2))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return balanced_tiles(untrained(), TILING, TRAIN, HELD_OUT, directions=6)


def test_parts_are_those_of_the_tiles(detector: Detector) -> None:
    scorer = TileScorer.from_detector(detector)
    scores = scorer.score(OTHERS[0])
    tiles = TILING.cut(OTHERS[0])
    expected = Scorer.from_detector(detector).score(torch.stack([tiles[index] for index in range(len(tiles))]))
    assert scores.parts["balanced"].shape == tiles.grid == (3, 4)
    torch.testing.assert_close(scores.parts["reconstruction"].flatten(), expected.reconstruction)
    torch.testing.assert_close(scores.parts["gradient"].flatten(), expected.gradient)
    torch.testing.assert_close(scores.parts["combined"].flatten(), expected.anomaly)


def test_codes_are_compared_with_those_of_their_place(detector: Detector) -> None:
    """The distance of a direction and a code, by numbers of training codes of that place."""
    plain = Scorer.from_detector(untrained())

    def codes(images: Tensor) -> Tensor:
        return torch.stack([torch.cat([c for c, _ in plain.codes_and_scores(TILING.cut(i))]) for i in images]).double()

    train, others = codes(TRAIN), codes(OTHERS[:1])[0]
    scores = TileScorer.from_detector(detector).score(OTHERS[0]).parts
    for name, transform in (("code", lambda code: code), ("direction", at_length_1)):
        pooled = transform(train.flatten(0, 1))
        _, deviations, axes = torch.linalg.svd(pooled - pooled.mean(0), full_matrices=False)
        basis = axes[:6].T / (deviations[:6] / len(pooled) ** 0.5)
        for place in range(12):
            white = (transform(train[:, place]) - pooled.mean(0)) @ basis
            covariance = (len(TRAIN) * torch.cov(white.T, correction=0) + SHRINKAGE * torch.eye(6)) / (
                len(TRAIN) + SHRINKAGE
            )
            centered = (transform(others[place : place + 1]) - pooled.mean(0)) @ basis - white.mean(0)
            expected = centered @ torch.linalg.inv(covariance.double()) @ centered.T
            assert float(scores[name].flatten()[place]) == pytest.approx(expected.item(), rel=1e-3)


def test_the_balanced_score_is_on_the_scale_of_held_out_tiles(detector: Detector) -> None:
    scorer = TileScorer.from_detector(detector)
    parts = [scorer.score(image).parts for image in HELD_OUT]
    columns = {name: torch.stack([part[name] for part in parts]).double() for name in (*WEIGHTS, "balanced")}
    expected = sum(
        weight * (columns[name] - columns[name].mean()) / columns[name].std(correction=0)
        for name, weight in WEIGHTS.items()
    )
    torch.testing.assert_close(columns["balanced"], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("pooling", [Pooling("max"), Pooling("largest", 2), Pooling("quantile", 0.5)])
def test_an_image_has_the_pooled_score(detector: Detector, pooling: Pooling) -> None:
    scorer = TileScorer.from_detector(balanced_tiles(detector, TILING, TRAIN, HELD_OUT, directions=6, pooling=pooling))
    scores = scorer.score_images(OTHERS)
    assert scores["balanced"].shape == (5,)
    for name, column in scores.items():
        assert float(column[2]) == pytest.approx(float(pooling(scorer.score(OTHERS[2]).parts[name])))


def test_a_defect_is_found_where_it_is(detector: Detector) -> None:
    scorer = TileScorer.from_detector(detector)
    image = OTHERS[0].clone()
    image[:, 6:, 12:] = 0
    before, after = (scorer.score(some).score_map("code") for some in (OTHERS[0], image))
    assert after.shape == (14, 20)
    assert torch.equal(before[:, :8], after[:, :8])  # up to the center of the last tile that was left as it is
    assert not torch.equal(before[6:, 12:], after[6:, 12:])
    assert scorer.score(image).score_map("code", (28, 10)).shape == (28, 10)
    with pytest.raises(ValueError, match="no part 'pixels'; there are reconstruction"):
        scorer.score(image).score_map("pixels")


def test_images_of_several_sizes_share_one_distribution() -> None:
    train = [*TRAIN, *images_of(10, size=(9, 31))]
    detector = balanced_tiles(untrained(), TILING, train, list(HELD_OUT), directions=6)
    scorer = TileScorer.from_detector(detector)
    assert scorer.balance.grid is None
    assert (
        scorer.score_images([images_of(1)[0], images_of(1, size=(40, 50))[0], images_of(1, size=(2, 3))[0]])["balanced"]
        .isfinite()
        .all()
    )
    with pytest.raises(ValueError, match="one grid of tiles; got 2 grids"):
        balanced_tiles(untrained(), TILING, train, HELD_OUT, by_place=True)


def test_an_image_with_another_grid_is_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="image 3 of 30x20 has a grid of 7x4 tiles; .* place in one of 3x4"):
        TileScorer.from_detector(detector).score(images_of(1, size=(30, 20))[0], 3)


def test_a_file_keeps_it(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    expected = TileScorer.from_detector(detector).score_images(OTHERS)
    scores = TileScorer.load(path).score_images(OTHERS)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)
    tiles = torch.stack([TILING.cut(OTHERS[0])[index] for index in range(12)])
    arrays = runtime.Scorer.load(path).score(tiles.numpy())  # single tiles, without their balance
    torch.testing.assert_close(torch.from_numpy(arrays.anomaly), Scorer.load(path).score(tiles).anomaly)


def test_a_custom_model_keeps_it_too(tmp_path: Path) -> None:
    class Own(ConvAutoencoder):
        pass

    own = untrained()
    own.model.__class__ = Own
    detector = balanced_tiles(own, TILING, TRAIN, HELD_OUT, directions=6)
    detector.save(tmp_path / "detector.safetensors")
    loaded = TileScorer.load(tmp_path / "detector.safetensors", model=ConvAutoencoder(1, 8, width=2))
    expected = TileScorer.from_detector(detector).score_images(OTHERS)
    torch.testing.assert_close(loaded.score_images(OTHERS)["balanced"], expected["balanced"])


def test_tiles_of_feature_maps_of_any_values() -> None:
    torch.manual_seed(2)
    maps = [30 * images_of(count, 5, (4, 6), seed=count) - 20 for count in (20, 4, 3)]
    detector = balanced_tiles(detector_of(FeatureAutoencoder(5, 1, 3)), Tiling(1, 1), maps[0], maps[1])
    scores = TileScorer.from_detector(detector).score(maps[2][0])
    assert scores.parts["balanced"].shape == (4, 6)
    assert scores.parts["balanced"].isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tiles": None}, "scores whole images"),
        ({"tiles": {}}, "damaged"),
        ({"tiles": []}, "damaged"),
        ({"stride": [9, 9]}, "uncovered"),
        ({"scale": "x"}, "damaged"),
        ({"pooling": "sum"}, "largest:3"),
        ({"pooling": 3}, "damaged"),
        ({"balance": {}}, "center of the parts"),
    ],
)
def test_damaged_facts_are_refused(detector: Detector, change: dict[str, object], message: str) -> None:
    facts = change["tiles"] if "tiles" in change else {**detector.preprocessing["tiles"], **change}
    wrong = replace(detector, preprocessing={**detector.preprocessing, "tiles": facts})
    with pytest.raises(ValueError, match=message):
        TileScorer.from_detector(wrong)


def test_a_file_that_lacks_a_tensor_is_refused(detector: Detector) -> None:
    extra = {name: tensor for name, tensor in detector.extra.items() if name != "tiles.code.basis"}
    with pytest.raises(ValueError, match="no tensor tiles.code.basis"):
        TileScorer.from_detector(replace(detector, extra=extra))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train": []}, ValueError, "no training images"),
        ({"held_out": []}, ValueError, "held-out images"),
        ({"train": iter(TRAIN)}, TypeError, "looked at twice"),
        ({"train": torch.zeros(3, 1, 14, 20)}, ValueError, "all training tiles are alike"),
        ({"directions": 0}, ValueError, "directions"),
        ({"train": TRAIN + 1}, ValueError, "image 0 has floating-point pixels"),
    ],
)
def test_what_cannot_be_balanced_is_refused(arguments, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        balanced_tiles(untrained(), TILING, **{"train": TRAIN, "held_out": HELD_OUT, **arguments})


def test_memory_holds_a_batch_of_tiles_alone() -> None:
    scorer = TileScorer(Scorer.from_detector(untrained()), Tiling(8, 1))
    image = images_of(1, size=(400, 600))[0]
    scorer.score(image[:, :100])
    assert len(scorer.tiling.cut(image)) * 8 * 8 * 4 > 50e6
    assert peak(lambda: scorer.score(image)) < 25e6


def test_no_images_are_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="no images"):
        TileScorer.from_detector(detector).score_images([])


def test_a_plain_balance_gives_way() -> None:
    with_balance = balanced(untrained(), images_of(9, size=(8, 8)), images_of(5, size=(8, 8)))
    assert balanced_tiles(with_balance, TILING, TRAIN, HELD_OUT, directions=6).balance is None
