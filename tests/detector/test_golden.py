"""Golden scores in a detector's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradcon_ext import runtime
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import read_detector
from gradcon_ext.detector.golden import Golden
from gradcon_ext.detector.stored_chain import read_stored_chain
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors

LAYERS = ["decoder.6.weight", "decoder.0.weight"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = ConvAutoencoder(1, 8, width=8).eval()
    references = {name: torch.randn_like(model.get_parameter(name)) for name in LAYERS}
    Detector(model, references, 3, 0.2).save(tmp_path / "detector.safetensors")
    return tmp_path / "detector.safetensors"


def golden_of(path: Path) -> Golden:
    golden = read_stored_chain(path)[1].golden
    assert golden is not None
    return golden


def test_they_are_the_scores_of_the_images_beside_them(path: Path) -> None:
    golden = golden_of(path)
    assert golden.images.shape == (4, 1, 8, 8)
    assert golden.images.std() > 50
    scores = runtime.Scorer.load(path).score(golden.images)
    parts = [scores.reconstruction, scores.latent, scores.gradient, scores.anomaly, *scores.cosine.T]
    names = ["reconstruction", "latent", "gradient", "anomaly", *(f"cosine.{name}" for name in LAYERS)]
    assert golden.columns == names
    assert golden.scores[:, 2:].all()
    np.testing.assert_allclose(golden.scores, np.stack(parts, 1), atol=1e-6)


def test_they_are_made_anew_by_each_save_and_the_same_each_time(path: Path) -> None:
    before, detector = golden_of(path), Detector.load(path)
    torch.rand(1)
    detector.save(path)
    assert np.array_equal(golden_of(path).scores, before.scores)
    with torch.no_grad():
        detector.model.decoder[0].weight.mul_(2)
    detector.save(path)
    assert np.array_equal(golden_of(path).images, before.images)
    assert not np.array_equal(golden_of(path).scores, before.scores)


def test_of_large_images_there_are_fewer(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1)).eval()
    sizes = {"channels": 1, "size": [512, 1024]}
    Detector(model, {"0.weight": torch.ones(1, 1, 3, 3)}, 1, preprocessing=sizes).save(
        tmp_path / "detector.safetensors"
    )
    assert golden_of(tmp_path).images.shape == (2, 1, 512, 1024)


def changed(path: Path, change: Any) -> None:
    tensors, facts = read_tensors(path, "detector", 1)
    change(tensors, facts)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)


def forget(tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    for name in ("golden.images", "golden.scores"):
        tensors.pop(name)
    facts.pop("golden")


def test_files_of_before_and_files_of_other_models_have_none(path: Path) -> None:
    changed(path, forget)
    assert not read_detector(path).golden
    assert Detector.load(path).count == 3
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Softmax(1), torch.nn.Linear(4, 4))
    Detector(model.eval(), {"2.weight": torch.ones(4, 4)}, 1).save(path)
    assert not read_detector(path).golden


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, facts: tensors.pop("golden.images"), "no tensor golden.images"),
        (lambda tensors, facts: facts.update(golden={}), "columns of golden scores"),
        (lambda tensors, facts: facts.update(golden={"columns": ["anomaly", 3]}), "columns of golden scores"),
        (lambda tensors, facts: facts.update(golden={"columns": []}), "columns of golden scores"),
        (
            lambda tensors, facts: tensors.update({name: tensors[name][:0] for name in tensors if "golden" in name}),
            "golden.images: expected uint8 .* one or more",
        ),
        (lambda tensors, facts: facts["golden"]["columns"].pop(), r"golden.scores: .*\(4, 5\), got float32 \(4, 6\)"),
        (lambda tensors, facts: facts["golden"].update(half=["anomaly"]), "columns, whole alone, got 'half'"),
        (lambda tensors, facts: facts["golden"].update(whole=["anomaly"]), "no tensor golden.whole.images"),
        (lambda tensors, facts: facts.update(golden=3), "golden to be of type"),
        (lambda tensors, facts: facts.update(golden=None), "golden.images: expected no such tensor"),
        (
            lambda tensors, facts: tensors.update({"golden.images": tensors["golden.images"].float()}),
            "golden.images: expected uint8",
        ),
    ],
)
def test_a_file_with_others_is_refused(path: Path, change: Any, message: str) -> None:
    changed(path, change)
    with pytest.raises(ValueError, match=message) as error:
        read_detector(path)
    assert str(path) in str(error.value)
