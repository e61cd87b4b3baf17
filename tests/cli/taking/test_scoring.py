"""Images in tiles and as feature maps, from `gradcon score` to a report."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from gradcon_ext import Detector, Scorer, runtime, scorer_of
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from support.taken_runs import NETWORK_OF, pixels_of, rows_of


def test_scores_are_those_of_the_library(gradcon, photos, tiles_run):
    rows = rows_of(gradcon("score", tiles_run, photos).out)
    expected = scorer_of(Detector.load(tiles_run)).score([pixels_of(row["path"]) for row in rows])
    assert len(rows) == 8
    for column in ("anomaly", "reconstruction", "gradient", "code", "balanced", "p_value"):
        values = getattr(expected, column).tolist()
        assert [float(row[column]) for row in rows] == pytest.approx(values, rel=1e-5, abs=1e-6)
    assert [row["verdict"] == "outlier" for row in rows] == expected.is_outlier.tolist()


def test_a_file_that_cannot_be_read_costs_no_other_its_score(gradcon, photos, tiles_run, tmp_path):
    folder = shutil.copytree(photos / "test" / "good", tmp_path / "some")
    (folder / "bad.png").write_bytes(b"no image")
    result = gradcon("score", tiles_run, folder)
    rows = rows_of(result.out)
    assert (result.code, len(rows)) == (3, 5)
    assert [bool(row["error"]) for row in rows] == [False] * 4 + [True]


def test_an_array_is_scored_by_tiles(gradcon, tiles_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 33, 41), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    rows = rows_of(gradcon("score", tiles_run, tmp_path / "images.npy").out)
    expected = scorer_of(Detector.load(tiles_run)).score(images)
    assert [float(row["anomaly"]) for row in rows] == pytest.approx(expected.anomaly.tolist(), rel=1e-5)


def test_maps_are_those_of_the_tiles(gradcon, photos, made, tmp_path):
    run, network = made
    maps = tmp_path / "maps"
    result = gradcon("score", run, photos, "--out", tmp_path / "scores.csv", "--maps", maps, *network)
    assert result.code == 0, result.err
    assert len(list(maps.glob("*.score.png"))) == len(list(maps.iterdir())) == 8
    sizes = {tuple(pixels_of(path).shape[1:3]) for path in maps.iterdir()}
    assert sizes == ({(24, 24)} if network else {(40, 70), (48, 66)})


def test_pixels_are_rated(gradcon, photos, made):
    run, network = made
    result = gradcon("evaluate", run, "--images", photos, *network)
    assert result.code == 0, result.err
    pixels = json.loads((run / "evaluation.json").read_text())["pixels"]
    assert pixels["images"] == 8
    assert pixels["auroc"]["score"] == pixels["auroc"][f"score.{Detector.load(run).part}"]
    assert pixels["auroc"]["score.balanced"] > 0.6  # of random ones 0.5


def test_a_report(gradcon, photos, made, tmp_path):
    run, network = made
    result = gradcon("report", run, photos, "--out", tmp_path / "report.html", *network)
    assert result.code == 0, result.err
    size = "24 by 24" if network else "as they are"
    assert f"{size}, grey" in (tmp_path / "report.html").read_text()


def test_info_tells_of_tiles(gradcon, made):
    run, network = made
    out = gradcon("info", run).out
    assert f"preprocessing.tiles.size: {'1, 1' if network else '16, 16'}\n" in out
    assert f"preprocessing.image.size: {'24, 24' if network else 'None'}\n" in out
    assert ("preprocessing.features.name: taking_network:small\n" in out) == bool(network)


def test_the_runtime_scores_single_tiles(tiles_run):
    tiles = np.random.default_rng(0).integers(0, 256, (4, 1, 16, 16), dtype=np.uint8)
    scores, expected = runtime.Scorer.load(tiles_run).score(tiles), Scorer.load(tiles_run).score(tiles)
    assert scores.anomaly == pytest.approx(expected.anomaly.numpy(), rel=1e-5)
    assert scores.p_value is expected.p_value is scores.balanced is expected.balanced is None
    with pytest.raises(ValueError, match=r"expected \(1, 16, 16\)"):
        runtime.Scorer.load(tiles_run).score(np.zeros((1, 1, 40, 70), np.uint8))


def test_a_network_is_given_again(gradcon, photos, features_run, tiles_run, monkeypatch):
    good = photos / "test" / "good"
    error = gradcon("score", features_run, good).error
    assert "give --features taking_network:small" in error
    assert "the detector scores pixels" in gradcon("score", tiles_run, good, *NETWORK_OF["features_run"]).error
    monkeypatch.setattr("taking_network.small", lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2)))
    assert "fingerprint" in gradcon("score", features_run, good, *NETWORK_OF["features_run"]).error


@pytest.mark.parametrize(
    "image",
    [
        None,
        {},
        {"channels": 1},
        {"channels": 0, "size": None},
        {"channels": 1, "size": [0, 3]},
        {"channels": 3, "size": None},
    ],
)
def test_a_file_whose_images_are_damaged_is_refused(gradcon, photos, tiles_run, image):
    path = tiles_run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    facts["preprocessing"]["image"] = image
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    assert str(path) in gradcon("score", tiles_run, photos / "test" / "good").error


def test_a_detector_of_before_is_one_of_whole_images(gradcon, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos")
    run = tmp_path / "run"
    words = ("--size", "8", "--epochs", "1", "--lead-in", "1", "--quiet", "--out", run)
    assert gradcon("train", "--images", folder, *words).code == 0
    path = run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    for name in facts["preprocessing"].keys() - {"channels", "size"}:
        del facts["preprocessing"][name]
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    result = gradcon("score", run, folder)
    assert (result.code, len(rows_of(result.out))) == (0, 12)
