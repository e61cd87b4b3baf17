from __future__ import annotations

import re
import shlex

import pytest
import torch


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_the_demonstration(gradcon, tmp_path):
    result = gradcon("demo", "--epochs", "1")
    assert result.code == 0
    first, *passes = result.err.splitlines()
    assert first.startswith("epoch 1 of 1: loss ") and len(passes) == 3 and passes[-1].startswith("calibrating on ")
    assert {file.name for file in (tmp_path / "runs" / "demo").iterdir()} == {
        "checkpoint.safetensors",
        "detector.safetensors",
        "evaluation.json",
        "evaluation.png",
        "history.jsonl",
        "train.toml",
        "evaluation.csv",
    }
    for loss in ("reconstruction", "gradient", "combined"):
        assert f"\n{loss} " in result.out
    assert "gradcon train --images FOLDER" in result.out


def test_the_commands_that_are_shown_are_those_that_ran(gradcon, tmp_path):
    shown = [line[2:] for line in gradcon("demo", "--epochs", "1").out.splitlines() if line.startswith("$ ")]
    results = [(tmp_path / "runs" / "demo" / name).read_bytes() for name in ("evaluation.csv", "evaluation.png")]
    for command in shown:
        assert gradcon(*shlex.split(command)[1:]).code == 0
    assert [
        (tmp_path / "runs" / "demo" / name).read_bytes() for name in ("evaluation.csv", "evaluation.png")
    ] == results


def test_it_replaces_its_own_run_but_no_other(gradcon, digits_run):
    assert gradcon("demo", "--epochs", "1").code == 0
    assert gradcon("demo", "--epochs", "1", "--seed", "1").code == 0
    result = gradcon("demo", "--epochs", "1", "--out", digits_run)
    assert result.code == 1
    assert re.fullmatch(f"{digits_run} .*--out.*", result.error)


def test_it_lies_among_no_files_and_names_no_option_that_it_lacks(gradcon, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "plan.txt").write_text("...")
    result = gradcon("demo", "--epochs", "1", "--out", tmp_path / "notes")
    assert result.code == 1
    assert str(tmp_path / "notes") in result.error and "another --out" in result.error
    assert "overwrite" not in result.error
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["plan.txt"]


def test_it_leaves_the_threads_as_they_were(gradcon):
    torch.set_num_threads(2)
    gradcon("demo", "--epochs", "1", "--inlier", "ten")
    assert torch.get_num_threads() == 2
