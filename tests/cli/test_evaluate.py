from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.evaluation import evaluate
from gradcon_ext.scoring.scorer import Scorer

RESULTS = {"evaluation.json", "evaluation.csv", "evaluation.png"}


def rows(folder):
    with (folder / "evaluation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_split_of_the_run_is_evaluated(gradcon, digits_run):
    result = gradcon("evaluate", digits_run)
    data = read_digits()
    split = one_class_split(data, "2", seed=0)
    scorer = Scorer.load(digits_run / "detector.safetensors")
    expected = evaluate(scorer, split.test, split.test_is_outlier)
    assert (result.code, result.err) == (0, "")
    assert [float(line.split()[1]) for line in result.out.splitlines()[1:7]] == pytest.approx(
        list(expected.auroc.values()), abs=5e-4
    )
    assert "40 inliers, 40 outliers" in result.out and "The detector holds no calibration" in result.out
    last = result.out.splitlines()[-1]
    assert all(fact in last for fact in ("evaluation.json", "evaluation.csv", "evaluation.png", str(digits_run)))
    evaluation = json.loads((digits_run / "evaluation.json").read_text())
    metrics = evaluation.pop("metrics")
    assert {name: metrics[name]["auroc"]["value"] for name in metrics} == expected.as_json()["auroc"]
    assert evaluation == {
        **expected.as_json(),
        "alpha": 0.12,
        "test": {"dataset": "digits", "inlier": "2", "seed": 0},
        "part": "balanced",
        "false_alarm_rate": None,
        "calibration_images": None,
        "folders": {},
    }
    written = rows(digits_run)
    assert [int(row["index"]) for row in written] == split.test_indices.tolist()
    assert [int(row["class"]) for row in written] == data.test.labels[split.test_indices].tolist()
    assert [row["is_outlier"] == "1" for row in written] == split.test_is_outlier.tolist()
    assert [float(row["anomaly"]) for row in written] == pytest.approx(scorer.score(split.test).anomaly.tolist())
    with Image.open(digits_run / "evaluation.png") as image:
        image.verify()


def test_another_folder_for_the_results(gradcon, digits_run, tmp_path):
    assert gradcon("evaluate", digits_run / "detector.safetensors", "--out", tmp_path / "a" / "b").code == 0
    assert {file.name for file in (tmp_path / "a" / "b").iterdir()} == RESULTS
    assert not RESULTS & {file.name for file in digits_run.iterdir()}


def test_two_folders(gradcon, digits_run, write_photos, tmp_path):
    inliers, outliers = write_photos(tmp_path / "good", 3), write_photos(tmp_path / "bad", 2, seed=1)
    result = gradcon("evaluate", digits_run, "--inliers", inliers, "--outliers", outliers, "--batch-size", 2)
    assert (result.code, result.err) == (0, "")
    assert "3 inliers, 2 outliers" in result.out
    written = rows(digits_run)
    files = [inliers / "00.png", inliers / "01.png", inliers / "02.png", outliers / "00.png", outliers / "01.png"]
    assert [row["path"] for row in written] == [str(path) for path in files]
    assert [row["is_outlier"] for row in written] == ["0", "0", "0", "1", "1"]
    evaluation = json.loads((digits_run / "evaluation.json").read_text())
    assert evaluation["test"] == {"inliers": str(inliers), "outliers": str(outliers)}
    anomaly = np.array([float(row["anomaly"]) for row in written])
    assert evaluation["auroc"]["combined"] == round(np.mean(anomaly[3:, None] > anomaly[:3]), 6)


@pytest.fixture
def with_masks(write_photos, tmp_path):
    """Normal images and faulty ones in one folder, as in MVTec AD, and the masks of the faulty ones."""
    (tmp_path / "test").mkdir()
    write_photos(tmp_path / "test" / "good", 3)
    write_photos(tmp_path / "test" / "crack", 2, seed=1)
    (tmp_path / "masks" / "crack").mkdir(parents=True)
    for number in range(2):
        mask = np.zeros((10, 9), np.uint8)
        mask[2:5, number : number + 3] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / "crack" / f"{number:02}_mask.png")
    return tmp_path


def test_masks(gradcon, digits_run, with_masks):
    folders = ("--inliers", with_masks / "test" / "good", "--outliers", with_masks / "test")
    result = gradcon("evaluate", digits_run, *folders, "--masks", with_masks / "masks")
    assert (result.code, result.err) == (0, "")
    assert "3 inliers, 2 outliers" in result.out and "5 images" in result.out and "residual" in result.out
    pixels = json.loads((digits_run / "evaluation.json").read_text())["pixels"]
    maps = {"residual", "alignment", *(f"alignment.decoder.{index}.weight" for index in (0, 2, 4, 6))}
    assert pixels["auroc"].keys() == pixels["pro"].keys() == maps
    assert all(0 <= value <= 1 for metric in ("auroc", "pro") for value in pixels[metric].values())
    assert pixels["masks"] == str(with_masks / "masks")


def test_images_with_masks_are_as_large_as_max_pixels_allows(gradcon, digits_run, with_masks, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own, which the images are beyond
    folders = ("--inliers", with_masks / "test" / "good", "--outliers", with_masks / "test")
    assert gradcon("evaluate", digits_run, *folders, "--masks", with_masks / "masks").code == 0


def test_masks_that_are_missing_or_of_nothing(gradcon, digits_run, with_masks):
    folders = ("--inliers", with_masks / "test" / "good", "--outliers", with_masks / "test")
    assert gradcon("evaluate", digits_run, "--masks", with_masks / "masks").code == 2
    (with_masks / "masks" / "crack" / "01_mask.png").unlink()
    error = gradcon("evaluate", digits_run, *folders, "--masks", with_masks / "masks").error
    assert str(with_masks / "test" / "crack" / "01.png") in error and "01_mask.png" in error
    assert not RESULTS & {file.name for file in digits_run.iterdir()}


@pytest.fixture
def mvtec(with_masks, write_photos):
    """The same in the whole layout of MVTec AD, where masks are found without being named."""
    (with_masks / "masks").rename(with_masks / "ground_truth")
    (with_masks / "train").mkdir()
    write_photos(with_masks / "train" / "good", 2, seed=2)
    return with_masks


@pytest.mark.parametrize("is_named", [False, True])
def test_one_bad_mask_costs_no_results(gradcon, digits_run, mvtec, is_named):
    mask = mvtec / "ground_truth" / "crack" / "01_mask.png"
    mask.write_bytes(mask.read_bytes()[:60])
    named = ("--masks", mvtec / "ground_truth") if is_named else ()
    result = gradcon("evaluate", digits_run, "--images", mvtec, *named)
    assert result.code == 3
    assert re.search(rf"^Warning: masks .*pixels: 1, such as {mask}: cannot be read", result.err, re.MULTILINE)
    assert "4 images with masks, or of inliers; 1 left out, whose masks cannot be used" in result.out
    assert {file.name for file in digits_run.iterdir()} >= RESULTS
    pixels = json.loads((digits_run / "evaluation.json").read_text())["pixels"]
    assert pixels["auroc"] and str(mask) in pixels["problems"][0]


@pytest.mark.parametrize(("value", "code", "told"), [(1, 3, "its values are 0, 1: save it with 255"), (0, 0, "")])
def test_masks_of_which_none_marks_anything(gradcon, digits_run, mvtec, value, code, told):
    for number in range(2):
        mask = np.zeros((10, 9), np.uint8)
        mask[2:5, 2:5] = value
        Image.fromarray(mask).save(mvtec / "ground_truth" / "crack" / f"{number:02}_mask.png")
    result = gradcon("evaluate", digits_run, "--images", mvtec)
    assert result.code == code and told in result.err
    assert "Note: no metrics of pixels: no pixel is anomalous" in result.err
    assert json.loads((digits_run / "evaluation.json").read_text())["pixels"]["auroc"] == {}


def test_masks_that_were_not_named_do_not_keep_proportions_from_being_kept(gradcon, digits_run, mvtec):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file)
    detector.preprocessing["fit"] = "pad"
    detector.save(file)
    result = gradcon("evaluate", digits_run, "--images", mvtec)
    assert result.code == 0
    assert re.search("^Note: no metrics of pixels: .*--fit squash alone.*--fit pad", result.err, re.MULTILINE)
    assert "pixels" not in json.loads((digits_run / "evaluation.json").read_text())
    assert "--fit squash" in gradcon("evaluate", digits_run, "--images", mvtec, "--masks", mvtec / "ground_truth").error


@pytest.mark.parametrize("option", ["--images", "--outliers"])
def test_masks_of_a_list(gradcon, digits_run, mvtec, option):
    (mvtec / "list.csv").write_text("path,is_outlier\ntest/good/00.png,0\ntest/crack/00.png,1\n")
    others = () if option == "--images" else ("--inliers", mvtec / "test" / "good")
    words = (option, mvtec / "list.csv", *others, "--masks", mvtec / "ground_truth")
    result = gradcon("evaluate", digits_run, *words)
    assert result.code == 2
    assert re.search("error: --masks goes with a folder.*list.csv is a list", result.err.splitlines()[-1])


def test_a_place_for_results_is_looked_at_before_anything_is_scored(gradcon, digits_run, tmp_path, monkeypatch):
    monkeypatch.setattr("gradcon_ext.cli.evaluate.of_data_set", None)  # scores
    (tmp_path / "file").write_text("no folder")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        result = gradcon("evaluate", digits_run, "--out", out)
        assert result.code == 1 and re.match(f"--out {out}: .*file is no folder", result.error)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    result = gradcon("evaluate", digits_run, "--out", tmp_path / "a" / "b")
    assert result.code == 1 and re.match(f"--out .*nothing can be written to the folder {tmp_path}", result.error)


def test_no_outliers_beside_the_inliers(gradcon, digits_run, write_photos, tmp_path):
    good = write_photos(tmp_path / "good", 3)
    assert str(good) in gradcon("evaluate", digits_run, "--inliers", good, "--outliers", good).error


def test_a_detector_of_a_folder_needs_two_folders(gradcon, digits_run):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file)
    detector.training["data"] = {"images": "photos", "validation": None, "seed": 0}
    detector.save(file)
    result = gradcon("evaluate", digits_run)
    assert result.code == 1
    assert re.fullmatch(f"{digits_run} .*--inliers .*--outliers", result.error)


def test_one_folder_is_bad_usage(gradcon, digits_run):
    result = gradcon("evaluate", digits_run, "--inliers", "good")
    assert result.code == 2
    assert re.search("error: .*--inliers and --outliers", result.err.splitlines()[-1])


def test_what_is_not_there(gradcon, digits_run, tmp_path):
    assert re.search(f"no detector.safetensors .*{tmp_path}", gradcon("evaluate", tmp_path).error)
    folders = ("--inliers", tmp_path / "good", "--outliers", tmp_path / "bad")
    result = gradcon("evaluate", digits_run, *folders)
    assert result.code == 1
    assert re.match(f"{tmp_path / 'good'}: .*folder", result.error)
    assert not RESULTS & {file.name for file in digits_run.iterdir()}


@pytest.mark.parametrize("name", sorted(RESULTS))
@pytest.mark.parametrize("content", ["of somebody else", "{}", "path,label\n1,2\n", None])
def test_files_of_somebody_else_are_not_replaced(gradcon, digits_run, tmp_path, name, content):
    if content is None:  # a link to an evaluation of another run
        gradcon("evaluate", digits_run, "--out", tmp_path / "other")
        (digits_run / name).symlink_to(tmp_path / "other" / name)
    else:
        (digits_run / name).write_text(content)
    before = (digits_run / name).read_bytes()
    result = gradcon("evaluate", digits_run)
    assert result.code == 1
    assert str(digits_run / name) in result.error
    assert (digits_run / name).read_bytes() == before
    assert {file.name for file in digits_run.iterdir()} & RESULTS == {name}


def test_an_evaluation_replaces_the_one_before(gradcon, digits_run):
    for _ in range(2):
        assert gradcon("evaluate", digits_run).code == 0


def test_real_images(gradcon, data_root, tmp_path):
    words = ["--dataset", "mnist", "--inlier", "1", "--epochs", "1", "--width", "8", "--data-root", data_root]
    assert gradcon("train", *words, "--lead-in", "0", "--out", tmp_path, "--quiet").code == 0
    result = gradcon("evaluate", tmp_path, "--data-root", data_root)
    assert "1135 inliers, 1135 outliers" in result.out
    # Ones have the least ink, and any reconstruction of them the least error.
    assert json.loads((tmp_path / "evaluation.json").read_text())["auroc"]["reconstruction"] > 0.8
    without = gradcon("evaluate", tmp_path)
    assert without.code == 1 and re.match("mnist .*--data-root", without.error)
