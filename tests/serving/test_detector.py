from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gradcon_ext import Detector
from gradcon_ext.models import FeatureAutoencoder
from gradcon_ext.serving.detector import ServedDetector
from support.served import write_detector


def test_its_facts(detector_file: Path) -> None:
    facts = ServedDetector.load(detector_file).facts
    assert facts["sha256"] == hashlib.sha256(detector_file.read_bytes()).hexdigest()
    assert (facts["part"], facts["false_alarm_rate"], facts["calibration_images"]) == ("balanced", 0.1, 20)
    assert facts["preprocessing"] == {"channels": 1, "size": [8, 8]}


def test_a_run_has_the_name_of_its_folder(detector_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    shutil.copy(detector_file, run / "detector.safetensors")
    assert ServedDetector.load(run).name == "my-run"


def test_what_is_made_for_other_images_is_refused(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "other.safetensors", plain=True, size=[8, 9])
    with pytest.raises(ValueError, match=r"other.safetensors: .*\(1, 8, 9\), and scored as \(1, 8, 8\)"):
        ServedDetector.load(path)


def test_one_of_feature_maps_is_refused(tmp_path: Path) -> None:
    model = FeatureAutoencoder(3, 2, width=4).eval()
    references = {"decoder.0.weight": torch.randn_like(model.decoder[0].weight)}
    Detector(model, references, 1, preprocessing={"channels": 3, "size": 2}).save(tmp_path / "features.safetensors")
    with pytest.raises(ValueError, match="scores feature maps"):
        ServedDetector.load(tmp_path / "features.safetensors")


def test_one_of_tiles_is_refused(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "tiles.safetensors", plain=True)
    whole = Detector.load(path)
    tiles = {"image": {"channels": 1, "size": None}, "tiles": {}}
    replace(whole, preprocessing={**whole.preprocessing, **tiles}).save(path)
    with pytest.raises(ValueError, match=r"tiles.safetensors: it scores tiles"):
        ServedDetector.load(path)


def test_one_that_does_not_say_how_images_are_prepared_is_refused(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "silent.safetensors", plain=True)
    silent = Detector.load(path)
    Detector(silent.model, silent.references, 1).save(path)
    with pytest.raises(ValueError, match="preprocessing does not say"):
        ServedDetector.load(path)
