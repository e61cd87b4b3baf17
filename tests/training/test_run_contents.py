from __future__ import annotations

import json

import pytest
import torch
from matplotlib.figure import Figure

from gradcon_ext.detector.detector import Detector
from gradcon_ext.storage.tensor_file import write_tensors
from gradcon_ext.training.run_contents import is_own, refuse_foreign, remove_own

ENTRY = {"epoch": 1, "attempt": 1, "seed": 0, "loss": 0.5}
EVALUATION = {"auroc": {"combined": 0.5}, "inliers": 3, "outliers": 4}
SCORES = "index,is_outlier,anomaly,reconstruction,latent,gradient,cosine.decoder.0.weight\n1,0,1,1,0,0,0.5\n"
PNG = b"\x89PNG\r\n\x1a\n" + 20 * b"\0" + b"tEXtSoftware\0%s" + 20 * b"\0"


def write_detector(path):
    model = torch.nn.Linear(2, 2)
    Detector(model, {"weight": torch.zeros_like(model.weight)}, 1).save(path)


@pytest.mark.parametrize(
    ("name", "own", "foreign"),
    [
        ("history.jsonl", json.dumps(ENTRY) + "\n", json.dumps({"epoch": 1, "loss": 0.5}) + "\n"),
        ("history.jsonl", "", "\n"),
        ("evaluation.json", json.dumps(EVALUATION, indent=2), json.dumps({"auroc": 0.5})),
        ("evaluation.json", json.dumps({**EVALUATION, "alpha": 0.12}), "[" * 100_000),
        ("evaluation.csv", SCORES, "index,anomaly\n"),
        ("evaluation.csv", SCORES.replace("index", "path"), ""),
        ("evaluation.png", PNG % b"gradcon_ext", PNG % b"Matplotlib version 3.10"),
    ],
)
def test_files_are_known_by_their_content(tmp_path, name, own, foreign):
    path = tmp_path / name
    for content, expected in ((own, True), (foreign, False), (b"\xff\xfe", False)):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert is_own(path) is expected
    path.write_bytes(own if isinstance(own, bytes) else own.encode())
    assert not is_own(path.rename(tmp_path / f"my-{name}"))


def test_an_unsigned_histogram_of_an_earlier_version_is_known_beside_its_evaluation(tmp_path):
    path = tmp_path / "evaluation.png"
    for panels, dpi, height, expected in [
        (3, 150, 3.6, True),
        (4, 150, 3.6, True),
        (2, 150, 3.6, False),
        (3, 100, 5.4, False),  # as many pixels, of another resolution
        (3, 150, 3.5, False),
    ]:
        figure = Figure(figsize=(540 / dpi * panels, height))
        figure.savefig(path, dpi=dpi)
        assert not is_own(path)
        (tmp_path / "evaluation.json").write_text(json.dumps(EVALUATION))
        assert not is_own(path)
        (tmp_path / "evaluation.csv").write_text(SCORES)
        assert is_own(path) is expected
        for name in ("evaluation.json", "evaluation.csv"):
            (tmp_path / name).unlink()


@pytest.mark.parametrize("name", ["detector.safetensors", "epoch-0010.safetensors", "epoch-12345.safetensors"])
def test_detectors_are_known_by_their_header(tmp_path, name):
    write_detector(tmp_path / name)
    assert is_own(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])  # damaged, and nobody else's
    assert is_own(tmp_path / name)
    for foreign in (b"", content[:20], b"\xff" * 100, content.replace(b"gradcon_ext", b"gradcon_new")):
        (tmp_path / name).write_bytes(foreign)
        assert not is_own(tmp_path / name)
    write_tensors(tmp_path / name, "checkpoint", 1, {}, {})
    assert not is_own(tmp_path / name)


def test_links_and_folders_are_not_a_runs(tmp_path):
    write_detector(tmp_path / "detector.safetensors")
    (tmp_path / "epoch-0001.safetensors").symlink_to(tmp_path / "detector.safetensors")
    (tmp_path / "epoch-0002.safetensors").mkdir()
    (tmp_path / "history.jsonl").symlink_to(tmp_path / "nowhere")
    for name in ("epoch-0001.safetensors", "epoch-0002.safetensors", "history.jsonl"):
        assert not is_own(tmp_path / name)
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(ValueError, match=rf"{tmp_path}/epoch-0001\.safetensors .*link"):
                refuse_foreign(tmp_path, **options)


def test_what_a_run_may_begin_in(tmp_path):
    refuse_foreign(tmp_path / "missing")
    refuse_foreign(tmp_path)
    write_detector(tmp_path / "detector.safetensors")
    (tmp_path / "evaluation.csv").write_text(SCORES)
    (tmp_path / ".gitignore").write_text("*")
    refuse_foreign(tmp_path)
    (tmp_path / "notes").mkdir()
    with pytest.raises(ValueError, match=" notes: .*overwrite"):
        refuse_foreign(tmp_path)
    refuse_foreign(tmp_path, resume=True)
    refuse_foreign(tmp_path, overwrite=True)
    (tmp_path / "detector.safetensors").unlink()
    with pytest.raises(ValueError, match=" notes"):
        refuse_foreign(tmp_path, resume=True)


def test_only_what_is_a_runs_is_removed(tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps(EVALUATION))
    (tmp_path / "evaluation.csv").write_text("mine")
    remove_own(tmp_path, "evaluation.json", "evaluation.csv", "evaluation.png")
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.csv"]
