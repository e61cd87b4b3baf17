"""Images whole, in tiles and as feature maps in `gradcon train`."""

from __future__ import annotations

import pytest
import torch

from gradcon_ext import Detector
from gradcon_ext.cli import image_reader
from gradcon_ext.storage.tensor_file import read_tensors
from support.taken_runs import FAST, TILES, image_facts, trained


def test_what_is_chosen_is_said(gradcon, photos, tmp_path):
    options = ("--epochs", "1", "--width", "4", "--channels", "1")
    result = gradcon("train", "--images", photos, "--out", tmp_path / "run", *options)
    assert result.code == 0, result.err
    first, *others = result.out.splitlines()
    assert first == (
        "70x40 to 66x48 -> all at 68x44 (--size 44x68), tiles of 32 at full size with even contrast: images are larger "
        "than 64 pixels. --size or --tile takes them otherwise."
    )
    assert "Trained on 12002 tiles of 17 images" in "\n".join(others)
    size, tiles = image_facts(tmp_path / "run")
    assert size == [44, 68]
    assert (tiles["size"], tiles["stride"], tiles["scale"], tiles["even_contrast"]) == ([32, 32], [16, 16], 1.0, True)
    checked = gradcon("check", photos, "--channels", "1").out
    assert first in checked
    assert "in about 12000 tiles of 32x32 of them" in checked
    assert "in grey, 44x68 (height x width), squash," in checked


def test_images_that_are_cut_are_in_no_cache(gradcon, photos, tmp_path, monkeypatch):
    cached = image_reader.cached_images
    options = ("--epochs", "1", "--width", "4", "--channels", "1", "--quiet", "--size", "44x68")
    monkeypatch.setattr(image_reader, "cached_images", None)
    assert gradcon("train", "--images", photos, "--out", tmp_path / "run", *options, "--tile", "32").code == 0
    seen = []
    monkeypatch.setattr(image_reader, "cached_images", lambda *given: seen.append(given[2]) or cached(*given))
    assert gradcon("train", "--images", photos, "--out", tmp_path / "whole", *options, "--lead-in", "0").code == 0
    assert seen == [tmp_path / "whole"]


def test_small_images_of_one_size_are_left_whole(gradcon, tmp_path, write_photos):
    result = gradcon("train", "--images", write_photos(tmp_path / "photos"), "--out", tmp_path / "run", *FAST[:2])
    assert result.out.startswith("9x10 -> whole images: all have that size, of 64 pixels at most. --size or --tile")
    assert Detector.load(tmp_path / "run").preprocessing["size"] == [10, 9]
    assert "tiles" not in Detector.load(tmp_path / "run").preprocessing


def test_a_size_is_what_images_are_brought_to(gradcon, photos, tmp_path):
    options = ("--size", "36x40", "--fit", "pad", "--depth", "3", *FAST[:2], "--lead-in", "0", "--width", "2")
    result = gradcon("train", "--images", photos, "--out", tmp_path / "run", *options)
    assert result.out.startswith("Trained on 17 images")
    detector = Detector.load(tmp_path / "run")
    assert (detector.preprocessing["size"], detector.preprocessing["fit"]) == ([36, 40], "pad")
    assert detector.model.architecture["depth"] == 3
    assert "tiles" not in detector.preprocessing
    problem = "masks go with --fit squash alone; the detector was trained with --fit pad"
    noted = gradcon("evaluate", tmp_path / "run", "--images", photos)
    assert (noted.code, f"Note: no metrics of pixels: {problem}" in noted.err) == (0, True)
    assert (
        problem in gradcon("evaluate", tmp_path / "run", "--images", photos, "--masks", photos / "ground_truth").error
    )


def test_the_depth_fits_the_size_unless_it_is_given(gradcon, photos, tmp_path):
    options = ("--size", "128", *FAST[:2], "--width", "8", "--score", "gradcon", "--no-calibrate")
    assert gradcon("train", "--images", photos, "--out", tmp_path / "run", *options).code == 0
    assert Detector.load(tmp_path / "run").model.architecture["depth"] == 6


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ("--tile 16", None, {"size": [16, 16], "stride": [8, 8], "scale": 1.0, "pooling": "largest:3"}),
        ("--tile 8x16 --stride 4x5", None, {"size": [8, 16], "stride": [4, 5]}),
        ("--tile 16 --scale 0.5 --even-contrast", None, {"scale": 0.5, "even_contrast": True}),
        ("--tile 16 --size 32 --fit crop --pool quantile:0.9", [32, 32], {"pooling": "quantile:0.9"}),
    ],
)
def test_tiles(gradcon, photos, tmp_path, options, size, expected):
    trained(photos, tmp_path / "run", *FAST, *options.split())
    found, tiles = image_facts(tmp_path / "run")
    assert found == size
    assert tiles.items() >= expected.items()
    assert (tiles["balance"]["grid"] is None) == (size is None)
    assert gradcon("score", tmp_path / "run", photos / "test" / "good").code == 0


def test_training_goes_on_as_it_began(gradcon, photos, tiles_run, tmp_path):
    at_once = trained(photos, tmp_path / "once", *TILES, "--epochs", "2")
    # Without options of tiles: those of the run are taken again, and not what its images would have chosen.
    trained(photos, tiles_run, "--width", "4", "--channels", "1", "--epochs", "2", "--resume")
    one, two = (read_tensors(folder / "detector.safetensors", "detector", 1) for folder in (at_once, tiles_run))
    assert one[0].keys() == two[0].keys()
    assert all(torch.equal(one[0][name], two[0][name]) for name in one[0])
    assert one[1]["preprocessing"] == two[1]["preprocessing"]
    other = ("--width", "4", "--channels", "1", "--tile", "12", "--epochs", "3", "--resume")
    result = gradcon("train", "--images", photos, "--out", tiles_run, *other)
    assert result.code == 1
    assert result.err.count("gradcon: error: ") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tile 16 --stride 17", "a stride of (17, 17) would leave pixels"),
        ("--tile 72", "--tile 72x72 is larger than images have: 48x70 at most"),
        ("--tile 40 --scale 0.5", "--tile 40x40 is larger than images have at 0.5 times: 24x35 at most"),
        ("--tile 40 --size 32", "--tile 40x40 is larger than images have: 32x32 at most"),
        ("--tile 5 --features taking_network:small --grid 4", "is larger than feature maps have: 4x4 at most"),
        ("--tile 16 --fit crop", "--fit goes with --size"),
        ("--tile 16 --reduced-jpeg", "--reduced-jpeg goes with --size"),
        ("--size 32 --scale 0.5", "--scale needs --tile"),
        ("--features nowhere", "package.module:function"),
        ("--features nowhere:net", "--features nowhere:net: No module named 'nowhere'"),
        ("--features taking_network:large", "taking_network has no function 'large'"),
        ("--features timm:resnet18 --stages layer1", "numbers such as 1,2,3, got layer1"),
        ("--features taking_network:small --stages 7", "Sequential has no module '7'; it has 0, 1, 2"),
        ("--features taking_network:small --bands 4", "expected different odd numbers such as 5,9, got '4'"),
        ("--features taking_network:small --depth 4", "--depth does not go with --features"),
        ("--features taking_network:small --model vae", "--model does not go with --features"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(gradcon, photos, tmp_path, options, message):
    command = ("train", "--images", photos, "--out", tmp_path / "run", "--quiet", "--epochs", "1")
    result = gradcon(*command, *options.split())
    assert result.code in (1, 2)
    assert message in result.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_the_options_that_a_run_leaves_repeat_it(gradcon, photos, made, tmp_path):
    run, _ = made
    again = tmp_path / "again"
    result = gradcon("train", "--config", run / "train.toml", "--out", again, "--quiet")
    assert result.code == 0, result.err
    one, two = (read_tensors(folder / "detector.safetensors", "detector", 1) for folder in (run, again))
    assert all(torch.equal(one[0][name], two[0][name]) for name in one[0])
    assert one[1]["preprocessing"] == two[1]["preprocessing"]


def test_options_of_tiles_are_of_image_files(gradcon, tmp_path):
    result = gradcon("train", "--dataset", "digits", "--inlier", "1", "--tile", "4", "--out", tmp_path / "run")
    assert (result.code, result.err.splitlines()[-1]) == (2, "gradcon: error: --tile does not go with --dataset")
