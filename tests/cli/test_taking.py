"""Images whole, in tiles and as feature maps, from `gradcon train` to a report."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gradcon_ext import Detector, Scorer, runtime, scorer_of
from gradcon_ext.cli import image_reader, main
from gradcon_ext.export.onnx_file import open_onnx
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from support.threads import torch_threads

FAST = ("--epochs", "1", "--tiles", "200", "--width", "4", "--channels", "1")
TILES = (*FAST, "--tile", "16", "--pool", "max")
NETWORK = """\
import torch


def small():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(5, 6, 3, stride=2))
"""
FEATURES = ("--features", "taking_network:small", "--stages", "0,2", "--grid", "4", "--size", "24", "--bands", "1,3")


def draw(folder, count, sizes, seed, defect=None):
    """Stripes, in some of which there is a defect, whose masks are in another folder."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        columns = np.arange(width) / 4 + generator.uniform(0, 6)
        pixels = 120 + 60 * np.sin(columns)[None] + generator.normal(0, 4, (height, width))
        mask = np.zeros((height, width), np.uint8)
        mask[8:20, 10:24] = 255
        if defect is not None:
            pixels[mask > 0] = generator.uniform(0, 255, (mask > 0).sum())
            Image.fromarray(mask).save(defect / f"{number:02}_mask.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """In the layout of MVTec AD, of two sizes beyond 64 pixels."""
    root = tmp_path_factory.mktemp("photos")
    sizes = [(40, 70), (48, 66)]
    draw(root / "train" / "good", 24, sizes, 0)
    draw(root / "test" / "good", 4, sizes, 1)
    (root / "ground_truth" / "hole").mkdir(parents=True)
    draw(root / "test" / "hole", 4, sizes, 2, root / "ground_truth" / "hole")
    (root / "taking_network.py").write_text(NETWORK)
    return root


@pytest.fixture(scope="module", autouse=True)
def _networks(photos):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(photos)
        yield


def trained(photos, folder, *options):
    with torch_threads(1):
        assert main(["train", "--images", str(photos), "--out", str(folder), "--quiet", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def tiles_once(photos, tmp_path_factory):
    return trained(photos, tmp_path_factory.mktemp("tiles") / "run", *TILES)


@pytest.fixture(scope="module")
def features_once(photos, tmp_path_factory):
    return trained(photos, tmp_path_factory.mktemp("features") / "run", *FAST, *FEATURES)


@pytest.fixture
def tiles_run(tiles_once, tmp_path):
    return shutil.copytree(tiles_once, tmp_path / "run")


@pytest.fixture
def features_run(features_once, tmp_path):
    return shutil.copytree(features_once, tmp_path / "run of features")


def image_facts(folder):
    facts = Detector.load(folder).preprocessing
    return facts["image"]["size"], facts["tiles"]


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
    refused = gradcon("evaluate", tmp_path / "run", "--images", photos)
    assert "masks go with --fit squash alone; the detector was trained with --fit pad" in refused.error


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


def pixels_of(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image)[None].copy())


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


NETWORK_OF = {"tiles_run": (), "features_run": ("--features", "taking_network:small")}


@pytest.fixture(params=NETWORK_OF)
def made(request):
    """A run, and the option that scoring with it takes."""
    return request.getfixturevalue(request.param), NETWORK_OF[request.param]


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


def test_engines_of_our_own_score_single_tiles_and_our_op_images_too(gradcon, made):
    run, _ = made
    for engine in ("fused", "runtime", "any-model"):
        result = gradcon("verify", run, "--engine", engine)
        assert result.code == 0, result.err
        assert ("image.balanced: " in result.out) == (engine == "fused")
        assert "\nbalanced: " not in result.out


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.parametrize("size", ["24x32", "40x70"])  # that of the golden images, and another
def test_tiles_are_exported(gradcon, tiles_run, tmp_path, format, size):
    out = tmp_path / f"tiles.{format}"
    made = gradcon("export", tiles_run, "--to", format, "--size", size, "--input", "uint8", "--out", out)
    assert made.code == 0, made.err
    result = gradcon("verify", tiles_run, "--engine", format, "--file", out)
    assert result.code == 0, result.err
    assert "image.balanced: " in result.out
    assert ("noise of 1x40x70" in result.err) == (size == "40x70")


def test_an_exported_graph_scores_images_as_the_command_does(gradcon, photos, tiles_run, tmp_path):
    out = tmp_path / "tiles.onnx"
    gradcon("export", tiles_run, "--to", "onnx", "--size", "40x70", "--input", "uint8", "--out", out)
    rows = [row for row in rows_of(gradcon("score", tiles_run, photos).out) if pixels_of(row["path"]).shape[1] == 40]
    given = open_onnx(out).score(np.stack([pixels_of(row["path"]).numpy() for row in rows]))
    assert len(rows) == 4
    for column in ("anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced", "p_value"):
        assert given[column] == pytest.approx([float(row[column]) for row in rows], rel=1e-4, abs=1e-5)
    assert given["cosine"][:, 0] == pytest.approx([float(row["cosine.mean"]) for row in rows], rel=1e-5)
    assert given["is_outlier"].tolist() == [row["verdict"] == "outlier" for row in rows]


def test_features_are_exported_without_their_network(gradcon, features_run, tmp_path):
    out = tmp_path / "maps.onnx"
    assert "floating point" in gradcon("export", features_run, "--to", "onnx", "--input", "uint8", "--out", out).error
    assert gradcon("export", features_run, "--to", "onnx", "--out", out).code == 0
    result = gradcon("verify", features_run, "--engine", "onnx", "--file", out)
    assert result.code == 0, result.err
    assert result.err == ""
    assert open_onnx(out).image_shape[1:] == (4, 4)


def test_what_does_not_fit_a_detector_of_tiles_is_not_exported(gradcon, tiles_run, features_run, tmp_path):
    def error(run, *options):
        return gradcon("export", run, "--to", "onnx", "--out", tmp_path / "a.onnx", *options).error

    assert "give --size HEIGHTxWIDTH" in error(tiles_run)
    assert "4x4 pixels or positions alone" in error(features_run, "--size", "5")
    assert not (tmp_path / "a.onnx").exists()


def test_an_exported_file_of_another_detector_of_tiles_is_a_failure(gradcon, photos, tiles_run, tmp_path):
    other = trained(photos, tmp_path / "other", *TILES, "--seed", "1")
    out = tmp_path / "other.onnx"
    for size in ("24x32", "40x70"):
        assert gradcon("export", other, "--to", "onnx", "--size", size, "--out", out).code == 0
        result = gradcon("verify", tiles_run, "--engine", "onnx", "--file", out)
        assert result.code == 1
        assert "image." in result.err
        out.unlink()


def test_a_file_without_golden_scores_of_whole_images(gradcon, tiles_run, tmp_path):
    path = tiles_run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    facts["golden"].pop("whole")
    for name in ("golden.whole.images", "golden.whole.scores"):
        tensors.pop(name)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    out = tmp_path / "tiles.onnx"
    assert gradcon("export", tiles_run, "--to", "onnx", "--size", "24x32", "--out", out).code == 0
    for options in ((), ("--engine", "onnx", "--file", out)):
        result = gradcon("verify", tiles_run, *options)
        assert result.code == 0, result.err
        assert "no golden scores of whole images" in result.err
        assert "Detector.load(path).save(path)" in result.err


def test_the_runtime_scores_single_tiles(tiles_run):
    tiles = np.random.default_rng(0).integers(0, 256, (4, 1, 16, 16), dtype=np.uint8)
    scores, expected = runtime.Scorer.load(tiles_run).score(tiles), Scorer.load(tiles_run).score(tiles)
    assert scores.anomaly == pytest.approx(expected.anomaly.numpy(), rel=1e-5)
    assert scores.p_value is expected.p_value is scores.balanced is expected.balanced is None
    with pytest.raises(ValueError, match=r"expected \(1, 16, 16\)"):
        runtime.Scorer.load(tiles_run).score(np.zeros((1, 1, 40, 70), np.uint8))


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
    assert gradcon("train", "--images", folder, "--size", "8", "--out", run, "--epochs", "1", "--quiet").code == 0
    path = run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    for name in facts["preprocessing"].keys() - {"channels", "size"}:
        del facts["preprocessing"][name]
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    result = gradcon("score", run, folder)
    assert (result.code, len(rows_of(result.out))) == (0, 12)
