"""Verdicts from the command line: calibrated by `train`, said by `score`, rated by `evaluate`."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gradcon_ext import select
from gradcon_ext.cli.verdicts import describe, percent, remark
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.proxy import Proxy

TRAIN = ("train", "--epochs", "1", "--lead-in", "0", "--width", "2", "--size", "8", "--batch-size", "8")


def write(folder, count, seed, brightest=256):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, brightest, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A calibrated run, with what `train` printed, and photos like its own and others."""
    from gradcon_ext.cli import main

    place = tmp_path_factory.mktemp("calibrated")
    write(place / "photos", 60, 0)
    assert main([*TRAIN, "--images", str(place / "photos"), "--out", str(place / "run"), "--quiet"]) == 0
    write(place / "test" / "good", 20, 1)
    write(place / "test" / "dark", 5, 2, brightest=60)
    write(place / "test" / "darker", 4, 3, brightest=20)
    return place


@pytest.fixture
def place(once, tmp_path):
    return shutil.copytree(once, tmp_path / "place")


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_row_has_a_p_value_and_a_verdict(gradcon, place):
    result = gradcon("score", place / "run", place / "test", "--by", "reconstruction", "--false-alarms", "0.2")
    assert (result.code, result.err) == (0, "")
    rows = table(result.out)
    calibration = Detector.load(place / "run" / "detector.safetensors").calibration
    scores = np.array([float(row["reconstruction"]) for row in rows], np.float32)
    p_values = calibration.p_values("reconstruction", scores)
    assert [float(row["p_value"]) for row in rows] == p_values.tolist()
    assert [row["verdict"] for row in rows] == ["outlier" if p <= 0.2 else "inlier" for p in p_values]
    assert {row["verdict"] for row in rows} == {"inlier", "outlier"}
    line = next(iter(gradcon("score", place / "run", place / "test", "--format", "jsonl").out.splitlines()))
    assert json.loads(line)["verdict"] in ("inlier", "outlier")


def test_a_selection_looks_at_all_rows(gradcon, place):
    words = ("score", place / "run", place / "test", "--by", "reconstruction", "--batch-size", "7")
    plain, selected = (table(gradcon(*words, *more).out) for more in ((), ("--fdr", "0.4")))
    p_values = [float(row["p_value"]) for row in plain]
    assert [float(row["p_value"]) for row in selected] == p_values
    assert [row["verdict"] == "outlier" for row in selected] == select(p_values, 0.4).tolist()


def test_what_so_few_images_do_not_allow_is_said(gradcon, place):
    for options, message in (
        (("--false-alarms", "0.01"), r"^Warning: .*12 images .* 1 %; so many allow 7.7 % at least.* nothing is"),
        (("--fdr", "0.01"), r"^Warning: no p-value of 12 .*7.7 %.* 1 % nothing is an outlier"),
    ):
        result = gradcon("score", place / "run", place / "test", *options)
        assert result.code == 0 and re.search(message, result.err)
        assert {row["verdict"] for row in table(result.out)} == {"inlier"}


@pytest.mark.parametrize(
    "options", [("--by", "latent"), ("--by", "gradient"), ("--false-alarms", "0.1"), ("--fdr", ".1")]
)
def test_a_verdict_needs_a_calibration(gradcon, digits_run, place, options):
    result = gradcon("score", digits_run, place / "test", *options)
    assert result.code == 1 and re.search("holds no calibration .*--calibrate", result.error)


def test_a_part_that_was_not_calibrated(gradcon, place):
    result = gradcon("score", place / "run", place / "test", "--by", "latent")
    assert result.code == 1 and re.match("--by latent: .*calibrated by reconstruction, gradient", result.error)


def test_two_rules_are_bad_usage(gradcon, place):
    for options in (("--fdr", "0.1", "--false-alarms", "0.1"), ("--fdr", "1"), ("--false-alarms", "0"), ("--by", "x")):
        assert gradcon("score", place / "run", place / "test", *options).code == 2


def test_verdicts_and_folders_of_outliers_are_rated(gradcon, place):
    words = ("--inliers", place / "test" / "good", "--outliers", place / "test", "--by", "reconstruction")
    result = gradcon("evaluate", place / "run", *words, "--false-alarms", "0.1")
    assert (result.code, result.err) == (0, "")
    assert "20 inliers, 9 outliers" in result.out  # what is good is no outlier, though it lies in their folder
    assert re.search(r"^Verdicts by reconstruction at a false-alarm rate of 10 %:$", result.out, re.MULTILINE)
    assert re.search(r"^  darker +AUROC \d\.\d{3} \[", result.out, re.MULTILINE)
    evaluation = json.loads((place / "run" / "evaluation.json").read_text())
    assert (evaluation["part"], evaluation["false_alarm_rate"]) == ("reconstruction", 0.1)
    metrics = evaluation["metrics"]["reconstruction"]
    with (place / "run" / "evaluation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, is_outlier, verdict in (
        ("detected", "1", "outlier"),
        ("missed", "1", "inlier"),
        ("false_alarms", "0", "outlier"),
        ("passed", "0", "inlier"),
    ):
        counted = sum((row["is_outlier"], row["verdict"]) == (is_outlier, verdict) for row in rows)
        assert metrics[name]["value"] == counted
    assert list(evaluation["folders"]) == ["dark", "darker"]
    assert gradcon("evaluate", place / "run", *words).code == 0  # its own file is known again


@pytest.mark.parametrize("count", [50, 51])
def test_many_folders_of_outliers_are_left_out_and_said_to_be(gradcon, place, count):
    for number in range(count):
        write(place / "many" / f"{number:02}", 1, number, brightest=60)
    words = ("--inliers", place / "test" / "good", "--outliers", place / "many")
    result = gradcon("evaluate", place / "run", *words)
    assert result.code == 0
    told = "Not rated by folder of outliers: there are 51, more than 50." in result.out.splitlines()
    assert (told, "By folder of outliers" in result.out) == (count > 50, count <= 50)


def test_outliers_that_are_all_inliers(gradcon, place):
    folder = place / "test" / "good"
    result = gradcon("evaluate", place / "run", "--inliers", place / "test", "--outliers", folder)
    assert result.code == 1 and re.match(f"{folder} holds no image beside those of", result.error)


def trained_on(run, **facts):
    """As if the run had been trained on other folders or lists."""
    detector = Detector.load(run / "detector.safetensors")
    detector.training["data"] |= {name: str(path) for name, path in facts.items()}
    detector.save(run / "detector.safetensors")


def warned(result):
    assert result.code == 0
    return [line for line in result.err.splitlines() if "has used" in line]


@pytest.mark.parametrize(("part", "inliers"), [("photos", 60), (".", 89)])
def test_inliers_that_were_trained_on_are_pointed_out(gradcon, place, part, inliers):
    trained_on(place / "run", images=place / "photos")  # where the copy is
    outliers = write(place.parent / "others", 3, 9)
    result = gradcon("evaluate", place / "run", "--inliers", place / part, "--outliers", outliers)
    assert warned(result) == [
        f"Warning: 60 of {inliers} inliers are images of {place / 'photos'}, which training has used: "
        "metrics of new images will be worse."
    ]


def test_files_tell_what_was_trained_on_and_not_folders(gradcon, place):
    root = place.parent / "mvtec"
    shutil.copytree(place / "test", root / "test")
    shutil.copytree(place / "photos", root / "train" / "good")
    (place / "linked").symlink_to(root / "train" / "good")
    trained_on(place / "run", images=root, validation=place / "gone", calibration=place / "linked")
    apart = ("--outliers", root / "test" / "dark", "--inliers")
    assert warned(gradcon("evaluate", place / "run", "--images", root)) == []
    assert warned(gradcon("evaluate", place / "run", *apart, root / "test" / "good")) == []
    training, calibration = warned(gradcon("evaluate", place / "run", *apart, root / "train"))
    assert f"60 of 60 inliers are images of {root}, which training has used" in training
    assert f"60 of 60 inliers are images of {place / 'linked'}, which calibration has used" in calibration


def test_images_of_a_list_that_was_trained_on_are_pointed_out(gradcon, place):
    learned = place / "learned.csv"
    learned.write_text("path\nphotos/00.png\nphotos/01.png\n")
    tested = place / "tested.jsonl"
    rows = [("photos/01.png", False), ("photos/02.png", False), ("test/dark/00.png", True)]
    tested.write_text("".join(json.dumps({"path": path, "is_outlier": outlier}) + "\n" for path, outlier in rows))
    trained_on(place / "run", images=learned)
    for words, used in (
        (("--inliers", place / "photos", "--outliers", place / "test" / "dark"), "2 of 60"),
        (("--images", tested), "1 of 2"),
    ):
        (line,) = warned(gradcon("evaluate", place / "run", *words))
        assert f"{used} inliers are images of {learned}, which training has used" in line


def test_scores_that_tie_are_pointed_out(gradcon, place):
    folders = [place / "test" / name for name in ("good", "copy")]
    shutil.copytree(*folders)
    result = gradcon("evaluate", place / "run", "--inliers", folders[0], "--outliers", folders[1])
    assert "Warning: of 5 % of all pairs of an inlier and an outlier the balanced scores are equal.\n" in result.err


def test_training_says_what_decides_and_how_surely(gradcon, tmp_path):
    result = gradcon(*TRAIN, "--images", write(tmp_path / "photos", 30, 0), "--out", tmp_path / "run")
    assert result.code == 0
    assert "3 held-out images from the same ones with synthetic damage (AUROC):\n" in result.out
    assert "This is a proxy" in result.out and "\nmean of kinds " in result.out
    assert "\nbalanced decides, " in result.out
    assert "Verdicts: calibrated on 6 images for a false-alarm rate of 14 %; so many allow 14 % at least." in result.out
    assert "1 % needs 99 of them." in result.out


def test_what_damage_shows_decides_unless_told_otherwise(gradcon, train_digits, tmp_path, monkeypatch):
    proxy = Proxy({"patches": {"gradient": 0.9, "balanced": 0.6}}, 100)
    for module in ("cli.finishing", "scoring.gradient_weight"):  # without a balance, and with one
        monkeypatch.setattr(f"gradcon_ext.{module}.notice_damage", lambda *_: proxy)
    for options, part in (((), "gradient"), (("--score", "code"), "code"), (("--score", "gradcon"), "combined")):
        run = tmp_path / part
        assert f"\n{part} decides, " in train_digits(run, *options).out
        assert f"decides: {part}\n" in gradcon("info", run).out
    # A run that goes on is asked for what it was before.
    assert "\ncode decides, " in train_digits(tmp_path / "code", "--resume", "--epochs", "3").out


def test_a_run_that_goes_on_keeps_its_split(train_digits, tmp_path):
    assert train_digits(tmp_path / "run", "--calibrate", "--false-alarms", "0.1").code == 0
    assert train_digits(tmp_path / "run", "--resume", "--epochs", "3").code == 0
    detector = Detector.load(tmp_path / "run" / "detector.safetensors")
    assert detector.calibration.count == detector.training["data"]["calibration"] > 9


def test_two_images_train_without_a_verdict(gradcon, tmp_path):
    result = gradcon(*TRAIN, "--images", write(tmp_path / "photos", 2, 0), "--out", tmp_path / "run")
    assert result.code == 0
    assert "\nWithout a verdict: 2 images are too few to hold any out for it.\n" in result.out
    assert "combined decides, for there are too few held-out images" in result.out


def test_a_rate_needs_calibration_images(gradcon, train_digits, digits_run, tmp_path):
    folder = write(tmp_path / "photos", 2, 0)
    few = gradcon(*TRAIN, "--images", folder, "--out", tmp_path / "another", "--false-alarms", "0.1")
    resumed = train_digits(digits_run, "--resume", "--epochs", "3", "--false-alarms", "0.1")
    for result in (few, resumed):
        assert result.code == 1 and re.match("--false-alarms needs calibration images", result.error)


@pytest.mark.parametrize(
    ("first", "step", "side", "message"),
    [
        (0, 0, 9, "training images are alike, and black"),
        (99, 0, 9, "training images are alike: there is nothing to learn"),
        (10, 20, 65, "training tiles are alike: there is nothing to learn"),  # which have even contrast: none
    ],
)
def test_images_that_are_all_alike_are_refused_in_a_sentence(gradcon, tmp_path, first, step, side, message):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        Image.new("L", (side, side), first + step * number).save(folder / f"{number}.png")
    result = gradcon("train", "--quiet", "--width", "2", "--images", folder, "--out", tmp_path / "run")
    assert result.code == 1 and message in result.error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--no-calibrate", "--false-alarms", "0.1"), "--false-alarms do not go with --no-calibrate"),
        (("--calibration", "photos"), "--calibration does not go with --dataset"),
        (("--score", "latent"), "--score latent needs .*--model vae"),
        (("--false-alarms", "5"), "above 0 and below 1, got '5'"),
    ],
)
def test_bad_usage_of_train(train_digits, tmp_path, options, message):
    result = train_digits(tmp_path / "run", *options)
    assert result.code == 2 and re.search(message, result.err.splitlines()[-1])


def calibration(count, rate):
    return Calibration(rate, {"combined": np.arange(count, dtype=np.float32)})


@pytest.mark.parametrize(
    ("count", "rate", "text"),
    [
        (1, 0.5, "1 image for a false-alarm rate of 50 %; so many allow 50 % at least. 1 % needs 99 of them."),
        (499, 0.01, "499 images for a false-alarm rate of 1 %; so many allow 0.2 % at least."),
    ],
)
def test_what_is_said_of_a_calibration(count, rate, text):
    assert describe(calibration(count, rate)) == f"Verdicts: calibrated on {text}"
    assert remark(calibration(count, rate)) is None


@pytest.mark.parametrize(
    ("count", "rate", "stated", "least"),
    [
        (8, 0.1111111111, "11 %", "12 %"),
        (8, 0.11, "11 %", "12 %"),
        (12, 0.0769, "7.69 %", "7.7 %"),
        (99, 0.009999, "0.9999 %", "1 %"),
        (99, 0.0099, "0.99 %", "1 %"),
        (99999, 1e-9, "0.0000001 %", "0.001 %"),
    ],
)
def test_a_rate_that_is_just_too_small_is_told_apart_from_one_that_will_do(count, rate, stated, least):
    said = remark(calibration(count, rate))
    assert f"rate of {stated}; so many allow {least} at least. At {stated} nothing is an outlier" in said
    assert Calibration.at(calibration(count, rate), float(least[:-2]) / 100).rate >= 1 / (count + 1)
    of_selection = remark(calibration(count, 0.5), rate)
    assert f"is below {least}: at a false-discovery rate of {stated} nothing" in of_selection


@pytest.mark.parametrize(
    ("share", "text"), [(1, "100 %"), (0.996, "100 %"), (0.994, "99 %"), (0.5, "50 %"), (1 / 13, "7.7 %"), (0, "0 %")]
)
def test_a_percentage_has_no_exponent(share, text):
    assert percent(share) == text


def test_a_report_has_the_verdicts_of_a_calibrated_detector(gradcon, place, digits_run):
    for run, verdicts in ((place / "run", 29), (digits_run, 0)):
        report = place / f"{run.parent.name}.html"
        assert gradcon("report", run, place / "test", "--out", report).code == 0
        text = report.read_text()
        assert len(re.findall('data-value="(?:inlier|outlier)"', text)) == verdicts
        assert ("The detector is not calibrated" in text) == (verdicts == 0)
