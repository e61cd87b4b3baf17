from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.storage.lock import locked
from gradcon_ext.training.trainer import Trainer

EVALUATION = json.dumps({"auroc": {"combined": 0.5}, "inliers": 3, "outliers": 4})


def weights(folder):
    detector = Detector.load(folder / "detector.safetensors")
    return {**detector.model.state_dict(), **{f"reference {name}": mean for name, mean in detector.references.items()}}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_detector_of_a_data_set(train_digits, tmp_path):
    result = train_digits(tmp_path / "runs" / "new")
    assert result.code == 0
    epoch, *passes = result.err.splitlines()
    assert re.fullmatch(r"epoch 2 of 2: loss \d\.\d{4}, validation objective -?\d\.\d{4}", epoch)
    assert passes == ["balancing the parts of the score", "damaging held-out images to see which part notices"]
    folder = tmp_path / "runs" / "new"
    assert {file.name for file in folder.iterdir()} == {
        "detector.safetensors",
        "history.jsonl",
        "checkpoint.safetensors",
        "train.toml",
    }
    assert str(folder / "detector.safetensors") in result.out
    assert f"gradcon evaluate {folder}\n" in result.out
    history = (folder / "history.jsonl").read_text()
    detector = Detector.load(folder / "detector.safetensors")
    assert detector.preprocessing == {"channels": 1, "size": [8, 8]}
    assert detector.training["data"] == {"dataset": "digits", "inlier": "2", "seed": 0}
    assert (detector.training["epochs"], detector.training["batch_size"]) == (2, 16)
    entries = [json.loads(line) for line in history.splitlines()]
    assert [(entry["epoch"], entry["lead_in"]) for entry in entries] == [(1, False), (2, False)]


def test_a_terminal_shows_a_bar_of_the_epochs(train_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = train_digits(tmp_path / "run")
    assert result.code == 0
    assert re.search(r"\repoch 2/2: 100%\|█+\| .* images/s, cosine=.*, loss=.*\] *\n", result.err)
    assert "epoch 2 of 2" not in result.err


def test_quiet_is_quiet(train_digits, tmp_path):
    assert train_digits(tmp_path / "run", "--quiet") == (0, "", "")


def test_the_next_command_finds_the_data(train_digits, tmp_path, monkeypatch):
    root = ("--data-root", tmp_path)
    assert f"gradcon evaluate {tmp_path / 'a'} --data-root {tmp_path}\n" in train_digits(tmp_path / "a", *root).out
    monkeypatch.setenv("GRADCON_DATA", str(tmp_path))
    assert f"gradcon evaluate {tmp_path / 'b'}\n" in train_digits(tmp_path / "b", *root).out
    assert f"gradcon evaluate {tmp_path / 'c'}\n" in train_digits(tmp_path / "c").out


def test_the_split_and_every_option_reach_the_trainer(train_digits, tmp_path, monkeypatch):
    seen = {}

    def fit(self, train, validation, resume):
        seen.update(vars(self), train=train, validation=validation, resume=resume)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(Trainer, "fit", fit)
    options = "--seed 3 --alpha 0.5 --lr 0.01 --batch-size 7 --average primal --model vae --width 5 --epochs 9 --resume"
    assert train_digits(tmp_path, *shlex.split(options), "--precision", "bfloat16").code == 1
    split = one_class_split(read_digits(), "2", seed=3)
    assert (seen["train"] == split.train).all()
    assert (seen["validation"] == split.validation).all()
    expected = {"seed": 3, "alpha": 0.5, "lr": 0.01, "batch_size": 7, "average": "primal", "epochs": 9, "resume": True}
    assert {name: seen[name] for name in expected} == expected
    assert seen["precision"] == "bfloat16"
    assert seen["model"].architecture == {
        "name": "ConvVariationalAutoencoder",
        "channels": 1,
        "size": [8, 8],
        "width": 5,
    }
    torch.manual_seed(3)
    first_drawn = type(seen["model"])(1, 8, 5)
    assert same(seen["model"].state_dict(), first_drawn.state_dict())


def test_the_same_command_gives_the_same_detector(train_digits, tmp_path, digits_run):
    train_digits(tmp_path / "again")
    assert same(weights(tmp_path / "again"), weights(digits_run))
    train_digits(tmp_path / "other", "--seed", "1")
    assert not same(weights(tmp_path / "other"), weights(digits_run))


def test_a_balanced_score(train_digits, gradcon, tmp_path, digits_run):
    run = tmp_path / "balanced run"
    assert train_digits(run, "--score", "balanced").code == 0
    assert same(weights(run), weights(digits_run))
    split = one_class_split(read_digits(), "2", 0)
    np.save(tmp_path / "images.npy", split.test)
    header, *rows = gradcon("score", run, tmp_path / "images.npy").out.splitlines()
    assert header.startswith("index,anomaly,reconstruction,latent,gradient,direction,code,balanced,cosine.")
    expected = Scorer.load(run).score(split.test).balanced
    assert [float(row.split(",")[7]) for row in rows] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)
    assert re.search(r"^balanced +0\.\d{3} \[", gradcon("evaluate", run).out, re.MULTILINE)
    assert "balance.scale.code: " in gradcon("info", run).out
    assert train_digits(run, "--resume", "--epochs", "3").code == 0
    assert "balance.scale.code: " in gradcon("info", run).out
    assert train_digits(tmp_path / "paper's", "--score", "gradcon").code == 0
    assert "balanced" not in gradcon("score", tmp_path / "paper's", tmp_path / "images.npy").out
    assert "decides: combined\n" in gradcon("info", tmp_path / "paper's").out


def test_the_papers_score_has_a_training_of_its_own(gradcon, tmp_path):
    words = ("train", "--dataset", "digits", "--inlier", "2", "--epochs", "2", "--width", "4", "--quiet")
    assert gradcon(*words, "--out", tmp_path / "default").code == 0
    assert gradcon(*words, "--score", "gradcon", "--out", tmp_path / "paper's").code == 0
    trainings = [Detector.load(tmp_path / name).training for name in ("default", "paper's")]
    assert [(training["alpha"], training["lead_in"]) for training in trainings] == [(0.03, 40), (0.03, 0)]
    assert "with --score gradcon or a part of it 30" in " ".join(gradcon("train", "--help").out.split())


def test_a_run_goes_on_as_it_was_begun(gradcon, tmp_path):
    words = ("train", "--dataset", "digits", "--inlier", "2", "--width", "4", "--out")
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    asked = ("--alpha", "0.05", "--lead-in", "1", "--batch-size", "20")
    assert gradcon(*words, parts, *asked, "--epochs", "1").code == 0
    assert gradcon(*words, parts, "--resume", "--epochs", "2").code == 0
    assert gradcon(*words, whole, *asked, "--epochs", "2").code == 0
    assert same(weights(parts), weights(whole))
    options = (parts / "train.toml").read_text()
    assert [line for line in options.splitlines() if line.startswith("lead")] == ["lead-in = 1"]
    refused = gradcon(*words, parts, "--resume", "--epochs", "3", "--lead-in", "0")
    assert refused.code == 1
    assert "lead_in = 1, not 0" in refused.error


def test_a_balanced_score_needs_held_out_images(gradcon, tmp_path, write_photos):
    folders = write_photos(tmp_path / "photos"), write_photos(tmp_path / "one", count=1)
    options = ("--images", folders[0], "--validation", folders[1], "--out", tmp_path / "run", "--score", "balanced")
    result = gradcon(*TRAIN_FOLDER, *options)
    assert result.code == 1
    assert "at least 2 held-out images" in result.error
    assert not (tmp_path / "run").exists()


def test_quiet_says_nothing(train_digits, tmp_path):
    assert train_digits(tmp_path / "run", "--quiet") == (0, "", "")


def test_a_finished_run_is_not_replaced(train_digits, digits_run):
    before = weights(digits_run)
    result = train_digits(digits_run, "--seed", "1")
    assert result.code == 1
    assert re.match(f"{digits_run} .* finished: .*--resume --epochs N.*--overwrite.*--out", result.error)
    assert same(weights(digits_run), before)


def test_an_unfinished_run_is_not_replaced(train_digits, digits_run):
    (digits_run / "detector.safetensors").unlink()
    assert re.match(f"{digits_run} .*unfinished: .*--resume .*--overwrite", train_digits(digits_run).error)


def test_overwriting(train_digits, digits_run, monkeypatch):
    (digits_run / "evaluation.json").write_text(EVALUATION)
    before = weights(digits_run)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", interrupted)
        train_digits(digits_run, "--seed", "1", "--overwrite")
    # What is left must not be taken for results of the new run.
    assert {file.name for file in digits_run.iterdir()} == {
        "history.jsonl",
        "checkpoint.safetensors",
        "train.toml",
    }
    assert train_digits(digits_run, "--seed", "1", "--overwrite").code == 0
    assert not same(weights(digits_run), before)


OF_SOMEBODY_ELSE = ("scores.csv", "evaluation.json", "evaluation.csv", "evaluation.png", "histogram.png", "photos")


@pytest.mark.parametrize("name", OF_SOMEBODY_ELSE)
@pytest.mark.parametrize("option", ["--resume", None])
def test_a_run_is_not_put_next_to_the_files_of_somebody_else(train_digits, tmp_path, name, option):
    (tmp_path / name).write_text("of somebody else")
    result = train_digits(tmp_path, *([option] if option else []))
    assert result.code == 1
    assert str(tmp_path) in result.error and name in result.error and "--overwrite" in result.error
    assert os.listdir(tmp_path) == [name]


def test_overwriting_leaves_what_no_run_left_there(train_digits, tmp_path):
    for name in OF_SOMEBODY_ELSE:
        (tmp_path / name).write_text("of somebody else")
    for options in (["--overwrite"], ["--resume", "--epochs", "3"], ["--overwrite"]):
        assert train_digits(tmp_path, *options).code == 0
        assert {(tmp_path / name).read_text() for name in OF_SOMEBODY_ELSE} == {"of somebody else"}


@pytest.mark.parametrize("name", ["detector.safetensors", "checkpoint.safetensors", "history.jsonl", "train.toml"])
@pytest.mark.parametrize("option", ["--overwrite", "--resume", None])
def test_a_foreign_file_with_a_name_of_a_run_is_never_replaced(train_digits, digits_run, name, option):
    (digits_run / name).write_text('{"message": "of somebody else"}\n')
    before = {file.name: file.read_bytes() for file in digits_run.iterdir()}
    result = train_digits(digits_run, *([option] if option else []))
    assert result.code == 1
    if option is not None:
        assert str(digits_run / name) in result.error
    assert {file.name: file.read_bytes() for file in digits_run.iterdir()} == before


@pytest.mark.parametrize("name", ["detector.safetensors", "checkpoint.safetensors", "history.jsonl", "train.toml"])
@pytest.mark.parametrize("option", ["--overwrite", "--resume", None])
def test_what_a_link_points_to_is_never_replaced(train_digits, digits_run, tmp_path, name, option):
    outside = (digits_run / name).rename(tmp_path / name)
    before = outside.read_bytes()
    (digits_run / name).symlink_to(outside)
    assert train_digits(digits_run, *([option] if option else [])).code == 1
    assert (digits_run / name).is_symlink()
    assert outside.read_bytes() == before


@pytest.mark.parametrize("options", [(), ("--overwrite",), ("--resume",)])
def test_a_live_run_is_left_alone(train_digits, digits_run, options):
    before = {file.name: file.read_bytes() for file in digits_run.iterdir()}
    with locked(digits_run):
        result = train_digits(digits_run, *options)
    assert result.code == 1
    assert f"process {os.getpid()}" in result.error
    assert {file.name: file.read_bytes() for file in digits_run.iterdir()} == before


def test_two_trainings_started_at_once_do_not_share_a_folder(tmp_path):
    words = ["train", "--dataset", "digits", "--inlier", "2", "--epochs", "3", "--width", "4", "--quiet"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "gradcon_ext", *words, "--seed", seed, "--out", str(tmp_path / "run")],
            cwd=tmp_path,  # in the source's folder Python would import what is not compiled
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in "12"
    ]
    errors = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], errors
    error = errors[codes.index(1)]
    assert str(tmp_path / "run") in error and ("in use" in error or "--resume" in error)  # as far as the first has come
    seed = Detector.load(tmp_path / "run" / "detector.safetensors").training["seed"]
    assert seed == codes.index(0) + 1


def test_scores_in_the_folder_of_a_run_stay(train_digits, digits_run):
    (digits_run / "scores.csv").write_text("of new images")
    for options in (["--overwrite"], ["--resume", "--epochs", "3"]):
        assert train_digits(digits_run, *options).code == 0
        assert (digits_run / "scores.csv").read_text() == "of new images"


def test_a_bad_option_does_not_cost_the_run(train_digits, digits_run):
    before = weights(digits_run)
    assert train_digits(digits_run, "--overwrite", "--inlier", "ten").code == 1
    assert same(weights(digits_run), before)


def test_going_on_gives_what_one_go_gives(train_digits, digits_run, tmp_path):
    (digits_run / "evaluation.json").write_text(EVALUATION)
    assert train_digits(digits_run, "--epochs", "4", "--resume").code == 0
    assert train_digits(tmp_path / "one-go", "--epochs", "4").code == 0
    assert same(weights(digits_run), weights(tmp_path / "one-go"))
    assert not (digits_run / "evaluation.json").exists()


def test_a_run_does_not_go_on_with_other_images(train_digits, digits_run):
    before = weights(digits_run)
    result = train_digits(digits_run, "--inlier", "4", "--resume")
    assert result.code == 1
    assert "data = {'dataset': 'digits', 'inlier': '2', 'seed': 0}" in result.error
    assert same(weights(digits_run), before)


def interrupted(*arguments):
    raise KeyboardInterrupt


def test_ctrl_c(train_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "fit", interrupted)
    result = train_digits(tmp_path / "run")
    assert (result.code, result.out) == (130, "")
    advice, last = result.err.splitlines()
    assert "--resume" in advice and "--overwrite" in advice
    assert last == "gradcon: interrupted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "photos"], "--images.*--dataset"),
        (["--seed", "-1"], "--seed: .* 0 to 9223372036854775807.* '-1'"),
        (["--epochs", "0"], "--epochs: .* 1 to 2147483647.* '0'"),
        (["--batch-size", "2.5"], "--batch-size: .* 1 to 2147483647.* '2.5'"),
        (["--lr", "0"], "--lr: .*above 0.* 0$"),
        (["--lr", "fast"], "--lr: .* 0 to 1000.* 'fast'"),
        (["--alpha", "nan"], "--alpha: .* 0 to 1000.* 'nan'"),
        (["--alpha", "inf"], "--alpha: .* 0 to 1000.* 'inf'"),
        (["--model", "gan"], "--model: .*'gan'"),
        (["--average", "median"], "--average: .*'median'"),
        (["--seed", str(10**30)], f"--seed: .* 0 to 9223372036854775807.*{10**30}"),
        (["--seed", 5000 * "9"], "--seed: .* 0 to 9223372036854775807"),
        (["--batch-size", str(10**30)], f"--batch-size: .* 1 to 2147483647.*{10**30}"),
        (["--size", str(10**10)], f"--size: .* 1 to 16384.*{10**10}"),
        (["--lr", "1e38"], "--lr: .* 0 to 1000.*1e38"),
        (["--device", "meta"], "--device: device 'meta' .*kernels for"),
        (["--device", "abacus"], "device 'abacus'"),
        (["--device", "cuda:99"], "device 'cuda:99'"),
        (["--channels", "1"], "--channels .*--dataset"),
        (["--validation", "photos"], "--validation .*--dataset"),
        (["--resume", "--overwrite"], "--overwrite.*--resume"),
    ],
)
def test_bad_usage(train_digits, tmp_path, options, message):
    result = train_digits(tmp_path / "run", *options)
    assert result.code == 2
    assert result.err.startswith("usage: gradcon train")
    assert "error: " in result.err.splitlines()[-1]
    assert re.search(message, result.err.splitlines()[-1])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "digits"], "--dataset .*--inlier"),
        (["--images", "photos", "--inlier", "1"], "--inlier .*--images"),
        ([], "--dataset --images .*required"),
    ],
)
def test_images_must_be_named(gradcon, tmp_path, words, message):
    result = gradcon("train", "--out", tmp_path, *words)
    assert result.code == 2
    assert re.search(f"error: .*{message}", result.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--dataset", "digits", "--inlier", "10"],
            "'10'.* 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$",
        ),
        (["--dataset", "mnist", "--inlier", "8"], "^mnist .*--data-root.*GRADCON_DATA"),
        (["--dataset", "mnist", "--inlier", "8", "--data-root", "nowhere"], "data root nowhere "),
        (["--images", "nowhere"], "^nowhere: .*folder"),
    ],
)
def test_what_is_not_there(gradcon, tmp_path, words, message):
    result = gradcon("train", *words, "--out", tmp_path / "run")
    assert result.code == 1
    assert re.search(message, result.error)
    assert not (tmp_path / "run").exists()


TRAIN_FOLDER = ("train", "--epochs", "1", "--lead-in", "0", "--width", "2", "--size", "8", "--batch-size", "4")


def test_a_detector_of_a_folder(gradcon, tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos")
    result = gradcon(*TRAIN_FOLDER, "--images", folder, "--out", tmp_path / "run")
    assert result.code == 0
    assert f"gradcon score {tmp_path / 'run'} IMAGES" in result.out
    detector = Detector.load(tmp_path / "run" / "detector.safetensors")
    assert detector.preprocessing == {
        "channels": 3,
        "size": [8, 8],
        "range": [0, 255],
        "background": [255, 255, 255],
    }
    assert detector.training["data"] == {"images": str(folder), "validation": None, "seed": 0, "calibration": 2}
    assert (detector.training["train_images"], detector.training["validation_images"]) == (9, 1)
    assert (detector.calibration.count, detector.calibration.rate) == (2, 1 / 3)


def test_another_folder_for_validation(gradcon, tmp_path, write_photos):
    train, validation = write_photos(tmp_path / "train"), write_photos(tmp_path / "validation", 3, seed=1)
    words = ("--images", train, "--validation", validation, "--channels", "1", "--out", tmp_path / "run")
    assert gradcon(*TRAIN_FOLDER, *words).code == 0
    detector = Detector.load(tmp_path / "run" / "detector.safetensors")
    assert detector.preprocessing["channels"] == 1
    assert detector.training["data"]["validation"] == str(validation)
    assert (detector.training["train_images"], detector.training["validation_images"]) == (10, 3)


def test_a_damaged_image_is_named_before_training(gradcon, tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos")
    (folder / "07.png").write_bytes(b"not a picture")
    result = gradcon(*TRAIN_FOLDER, "--images", folder, "--out", tmp_path / "run")
    assert result.code == 1
    assert re.match(f"{folder / '07.png'}: .*image", result.error)
    assert not (tmp_path / "run").exists()


def test_one_image_is_too_few(gradcon, tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=1)
    result = gradcon(*TRAIN_FOLDER, "--images", folder, "--out", tmp_path / "run")
    assert result.code == 1
    assert re.match(f"{folder}: .*single image.* 2, ", result.error)


def test_an_empty_data_root_in_the_environment_is_none(gradcon, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADCON_DATA", "")
    result = gradcon("train", "--dataset", "mnist", "--inlier", "8", "--out", tmp_path / "run")
    assert result.code == 1 and re.match("mnist .*--data-root", result.error)
