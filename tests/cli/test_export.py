"""`gradcon export` and `gradcon verify`."""

from __future__ import annotations

import shutil
import sys
from itertools import product

import pytest

from gradcon_ext.storage.tensor_file import read_tensors, write_tensors

COMPILED = (
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore"),  # of torch's own
)


@pytest.mark.parametrize(
    ("format", "input"),
    [*product(("onnx", "pt2"), ("float", "uint8")), pytest.param("aoti", "uint8", marks=COMPILED)],
)
def test_what_is_exported_agrees_with_the_golden_scores(gradcon, digits_run, tmp_path, format, input):
    out = tmp_path / f"digits.{'onnx' if format == 'onnx' else 'pt2'}"
    made = gradcon("export", digits_run, "--to", format, "--input", input, "--out", out)
    assert made.code == 0, made.err
    assert f"gradcon verify {digits_run} --engine {format} --file {out}" in made.out
    result = gradcon("verify", digits_run, "--engine", format, "--file", out)
    assert result.code == 0, result.err
    differences = dict(line.split(": ") for line in result.out.splitlines())
    assert differences.keys() > {"reconstruction", "anomaly", "cosine.decoder.0.weight"}
    assert max(map(float, differences.values())) < 1e-5


@pytest.mark.parametrize("model", ["cae", "vae"])
def test_engines_of_our_own_agree(gradcon, train_digits, tmp_path, model):
    # After a long lead-in the code hardly varies, and what rounding leaves of it counts.
    options = ("--model", model, "--epochs", "1", "--lead-in", "40", "--score", "balanced")
    assert train_digits(tmp_path / "run", *options).code == 0
    for engine in ("fused", "runtime", "any-model"):
        result = gradcon("verify", tmp_path / "run", "--engine", engine)
        assert result.code == 0, result.err
        assert "balanced: " in result.out


def test_the_default_name_is_that_of_the_run_here(gradcon, digits_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gradcon("export", digits_run, "--to", "onnx").code == 0
    assert (tmp_path / "run.onnx").exists()
    assert "run.onnx is there already" in gradcon("export", digits_run, "--to", "onnx").error


def rewrite(run, change):
    path = run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    change(tensors, facts)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)


@pytest.mark.parametrize("engine", ["fused", "runtime", "any-model"])
def test_another_score_is_a_failure(gradcon, digits_run, engine):
    rewrite(digits_run, lambda tensors, facts: tensors["model.decoder.0.weight"].mul_(1.01))
    result = gradcon("verify", digits_run, "--engine", engine)
    assert result.code == 1
    assert "differs from the golden scores by" in result.err


def test_a_score_that_is_no_number_is_a_failure(gradcon, digits_run):
    rewrite(digits_run, lambda tensors, facts: tensors["model.decoder.0.weight"].fill_(float("nan")))
    assert gradcon("verify", digits_run).code == 1


def test_an_exported_file_of_another_detector_is_a_failure(gradcon, digits_run, train_digits, tmp_path):
    assert train_digits(tmp_path / "other", "--seed", "1").code == 0
    assert gradcon("export", tmp_path / "other", "--to", "onnx", "--out", tmp_path / "other.onnx").code == 0
    result = gradcon("verify", digits_run, "--engine", "onnx", "--file", tmp_path / "other.onnx")
    assert result.code == 1
    assert "differs" in result.err


def test_a_file_without_golden_scores(gradcon, digits_run):
    def forget(tensors, facts):
        facts.pop("golden")
        tensors.pop("golden.images")
        tensors.pop("golden.scores")

    rewrite(digits_run, forget)
    assert "Detector.load(path).save(path)" in gradcon("verify", digits_run).error


def test_what_no_engine_runs(gradcon, digits_run, tmp_path):
    assert gradcon("export", digits_run, "--to", "pt2", "--out", tmp_path / "b.pt2").code == 0
    assert (
        "torch does not run it" in gradcon("verify", digits_run, "--engine", "aoti", "--file", tmp_path / "b.pt2").err
    )
    for name, engine in (("a.onnx", "onnx"), ("a.pt2", "pt2"), ("a.pt2", "aoti")):
        (tmp_path / name).write_bytes(b"no program")
        assert (
            str(tmp_path / name) in gradcon("verify", digits_run, "--engine", engine, "--file", tmp_path / name).error
        )
        assert "nowhere" in gradcon("verify", digits_run, "--engine", engine, "--file", tmp_path / "nowhere").error


@pytest.mark.parametrize(
    "words", [("--engine", "onnx"), ("--file", "a.onnx"), ("--engine", "fused", "--file", "a.pt2")]
)
def test_a_file_goes_with_what_was_exported(gradcon, digits_run, words):
    result = gradcon("verify", digits_run, *words)
    assert result.code == 2
    assert "--file goes with --engine onnx, pt2, aoti" in result.err


def test_bad_exports(gradcon, digits_run, tmp_path, monkeypatch):
    assert gradcon("export", digits_run).code == 2
    assert "ends in .onnx" in gradcon("export", digits_run, "--to", "onnx", "--out", tmp_path / "a.pt2").error
    assert "nowhere" in gradcon("export", tmp_path / "nowhere", "--to", "onnx").error
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "gradcon_ext[onnx]" in gradcon("export", digits_run, "--to", "onnx", "--out", tmp_path / "a.onnx").error
    assert not (tmp_path / "a.onnx").exists()


def test_a_model_that_is_no_chain(gradcon, digits_run, tmp_path):
    def without_chain(tensors, facts):
        facts.update(architecture=None, chain=None)

    rewrite(digits_run, without_chain)
    assert "no chain of layers" in gradcon("export", digits_run, "--to", "onnx", "--out", tmp_path / "a.onnx").error
