from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.reproduce import TARGETS, Reproduction, compared, figure3, figure5, length, study, tables, training
from support.cure_tsr_files import write_stand_in

ALL = ("table1", "table2", "table3", "table4", "fig3", "fig4", "fig5", "study")
FIGURES = ("fig3", "fig4", "fig5", "length")
SMALL = ("--classes", "0", "--seeds", "1", "--epochs", "1")


@pytest.fixture
def digits_everywhere(monkeypatch):
    """Puts the digits in the place of MNIST and CIFAR-10."""
    for name, design in tables.DESIGNS.items():
        monkeypatch.setitem(tables.DESIGNS, name, replace(design, dataset="digits"))
    monkeypatch.setattr(figure3, "DATASET", "digits")
    for module in (figure5, length, study):
        monkeypatch.setattr(module, "DATASETS", ("digits",))


@pytest.fixture
def no_more_training(monkeypatch):
    """Makes what trains and compares fail when it is called."""

    def forbid():
        monkeypatch.setattr(training, "train_many", None)
        monkeypatch.setattr(training, "measure_on", None)
        monkeypatch.setattr(compared, "ProcessPoolExecutor", None)

    return forbid


def write_fashion_mnist(root):
    """Write random images of 28x28 pixels in MNIST's format: of class 0 five times as many as of the others."""
    (root / "fashion-mnist").mkdir()
    generator = np.random.default_rng(0)
    for split in ("train", "t10k"):
        labels = np.repeat(np.arange(10), [25] + 9 * [5]).astype(np.uint8)
        for kind, array in (
            ("images-idx3", generator.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)),
            ("labels-idx1", labels),
        ):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (root / "fashion-mnist" / f"{split}-{kind}-ubyte").write_bytes(header + array.tobytes())


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.usefixtures("digits_everywhere")
def test_all_tables_and_figures(gradcon, no_more_training, tmp_path):
    write_stand_in(tmp_path)
    write_fashion_mnist(tmp_path)
    out = tmp_path / "results"
    words = ("reproduce", "all", "length", *SMALL, "--data-root", tmp_path, "--out", out)
    result = gradcon(*words)
    assert (result.code, result.err) == (0, "")
    results = {f"{name}.{suffix}" for name in TARGETS for suffix in ("md", "csv")} | {f"{name}.png" for name in FIGURES}
    assert {path.name for path in out.iterdir()} == {*results, "records", "runs"}
    for name in FIGURES:
        with Image.open(out / f"{name}.png") as image:
            image.verify()
        assert (out / f"{name}.md").read_text().splitlines()[-1] in result.out
        assert f"{name}.png, {name}.csv, {name}.md to {out}" in result.out
    for name in set(TARGETS) - set(FIGURES):
        text = (out / f"{name}.md").read_text()
        assert text in result.out
        assert "not run yet" not in text
        assert f"{name}.md, {name}.csv to {out}" in result.out

    lines = (out / "records" / "digits.jsonl").read_text().splitlines()
    (record,) = (each for each in map(json.loads, lines) if each["name"] == "digits/cae-grad/0/seed-0")
    with (out / "table1.csv").open(newline="") as file:
        lines = {(line["row"], line["source"], line["column"]): line["mean"] for line in csv.DictReader(file)}
    ours = lines["CAE + Grad, gradient", "ours, 1 epochs", "0"]
    assert ours == lines["CAE + Grad, gradient", "ours, 1 epochs", "average"]
    assert float(ours) == record["metrics"]["gradient"]
    assert lines["CAE + Grad, gradient", "paper", "0"] == "0.752000"

    kept = {name: time for name, time in files_of(out).items() if "/" in name}
    written = {name: (out / name).read_bytes() for name in results if not name.endswith("png")}
    no_more_training()
    again = gradcon(*words, "--quiet")
    assert (again.code, again.out, again.err) == (0, "", "")
    assert {name: time for name, time in files_of(out).items() if "/" in name} == kept
    assert {name: (out / name).read_bytes() for name in written} == written


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("all",), ALL),
        (("length", "all", "study"), ("length", *ALL)),
        (("study", "table1", "study"), ("study", "table1")),
    ],
)
def test_all_is_every_target_but_length(gradcon, monkeypatch, tmp_path, words, expected):
    asked = []

    def note(reproduction, targets):
        asked.append(targets)
        raise ValueError("enough")

    monkeypatch.setattr(Reproduction, "prepare", note)
    write_stand_in(tmp_path)
    assert gradcon("reproduce", *words, "--data-root", tmp_path).error == "enough"
    assert asked == [expected]


@pytest.mark.usefixtures("digits_everywhere")
def test_what_is_wrong_is_found_before_anything_is_trained(gradcon, no_more_training, tmp_path):
    no_more_training()
    out = ("--out", tmp_path / "results")
    unknown = gradcon("reproduce", "table1", "--classes", "0", "ten", *out)
    assert unknown.code == 1
    assert re.match("digits: .*'ten'.* 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$", unknown.error)
    without = gradcon("reproduce", "table4", *SMALL, *out)
    assert without.code == 1 and re.match("fashion-mnist .*--data-root", without.error)
    empty = gradcon("reproduce", "table4", *SMALL, *out, "--data-root", tmp_path)
    assert empty.code == 1 and re.search(f"fashion-mnist .*{tmp_path}: ", empty.error)
    signs = gradcon("reproduce", "fig4", *SMALL, *out, "--data-root", tmp_path)
    assert signs.code == 1 and re.search(f"CURE-TSR .*{tmp_path}: ", signs.error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("digits_everywhere")
def test_a_damaged_record_is_named(gradcon, tmp_path):
    path = tmp_path / "records" / "digits.jsonl"
    path.parent.mkdir()
    path.write_text("{")
    result = gradcon("reproduce", "table1", *SMALL, "--out", tmp_path)
    assert result.code == 1
    assert re.match(f"{path}, line 1, .*remove", result.error)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("table9",),
        ("table1", "--seeds", "0"),
        ("table1", "--epochs", "-1"),
        ("table1", "--classes"),
        ("length", "--datasets"),
        ("length", "--datasets", "mnist", "svhn"),
    ],
)
def test_bad_usage(gradcon, words):
    result = gradcon("reproduce", *words)
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("gradcon reproduce: error: ")
