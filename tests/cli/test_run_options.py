"""A run that is resumed has the options that it began with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gradcon_ext.cli.run_options import kept_options, options_before
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import CHECKPOINT
from gradcon_ext.training.run_contents import CONFIG, CONFIG_HEAD
from support.training_runs import assert_same_detector, interrupted


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "8", "--fit", "crop", "--reduced-jpeg", "--lr", "0.01", "--score", "gradcon"),
        ("--tile", "8", "--stride", "4", "--tiles", "50", "--channels", "1", "--no-calibrate"),
    ],
    ids=["whole", "tiles"],
)
def test_nothing_else_needs_to_be_said_again(gradcon, write_photos, tmp_path, options):
    photos, at_once, run = write_photos(tmp_path / "photos", 30), tmp_path / "at-once", tmp_path / "run"
    words = ("train", "--images", photos, "--width", "4", "--batch-size", "8", "--quiet", *options, "--epochs", "3")
    assert gradcon(*words, "--out", at_once).code == 0
    with interrupted(5, KeyboardInterrupt):
        assert gradcon(*words, "--out", run).code == 130
    assert gradcon("train", "--out", run, "--resume", "--quiet").code == 0
    expected, resumed = Detector.load(at_once), Detector.load(run)
    assert (resumed.preprocessing, resumed.part) == (expected.preprocessing, expected.part)
    assert_same_detector(expected, resumed)
    assert gradcon("train", "--out", run, "--resume", "--epochs", "4").code == 0
    assert Detector.load(run).training["epochs"] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are of Linux")
def test_folders_have_names_of_any_bytes(gradcon, write_photos, tmp_path):
    photos, run, again = (tmp_path / os.fsdecode(name) for name in (b"ph\xff\n'\"otos", b"r\xfen", b"ag\xffin"))
    write_photos(photos)
    words = ("--size", "8", "--width", "4", "--epochs", "1", "--lead-in", "0", "--quiet", "--out", run)
    assert gradcon("train", "--images", photos, *words).code == 0
    assert gradcon("train", "--config", run / CONFIG, "--out", again, "--quiet").code == 0
    assert gradcon("train", "--resume", "--out", again, "--epochs", "2", "--quiet").code == 0
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "gradcon_ext", "info", again.name]
    told = subprocess.run(command, cwd=tmp_path, env=strict, capture_output=True, check=True).stdout
    assert told.startswith(b"file: ag\xffin/detector.safetensors\n")
    assert Detector.load(again).training["data"]["images"] == str(photos)


def test_a_run_that_is_refused_keeps_its_own(gradcon, train_digits, digits_run):
    before = (digits_run / CONFIG).read_text()
    assert "lr = 0.001" in before.splitlines()
    assert "lr = 0.001, not 0.5" in gradcon("train", "--out", digits_run, "--resume", "--lr", "0.5", "--quiet").error
    assert (digits_run / CONFIG).read_text() == before


def test_what_is_wrong_with_them_is_told_with_their_file(gradcon, digits_run):
    (digits_run / CONFIG).write_text(f"{CONFIG_HEAD}\nepochs = \n")
    result = gradcon("train", "--out", digits_run, "--resume")
    assert result.code == 2
    assert f"options of {digits_run / CONFIG}: " in result.err


def test_a_file_of_somebody_else_is_not_read(tmp_path):
    (tmp_path / CONFIG).write_text("epochs = 5\n")
    words = ["--resume", f"--out={tmp_path}"]
    assert options_before(words) is None
    (tmp_path / CONFIG).write_text(f"{CONFIG_HEAD}\nepochs = 5\n")
    assert options_before(words) == tmp_path / CONFIG
    assert options_before(words[1:]) is options_before(words[:1]) is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize(("change", "left"), [("none", 1), ("replaced", 2), ("removed", 2)])
def test_options_are_those_of_the_checkpoint(tmp_path, error, change, left):
    checkpoint = tmp_path / CHECKPOINT
    with kept_options(tmp_path, {"epochs": 1}):
        checkpoint.write_bytes(b"1")
    with pytest.raises(error), kept_options(tmp_path, {"epochs": 2}) as text:
        assert (tmp_path / CONFIG).read_text() == text
        if change != "none":
            checkpoint.unlink()
        if change == "replaced":
            (tmp_path / "another").write_bytes(b"1")
            (tmp_path / "another").replace(checkpoint)
        raise error
    assert (tmp_path / CONFIG).read_text().splitlines() == [CONFIG_HEAD, f"epochs = {left}"]
