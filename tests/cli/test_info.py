from __future__ import annotations

import re

from gradcon_ext.detector.detector import Detector
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.version import __version__


class Custom(ConvAutoencoder):
    architecture = None


def test_the_installation(gradcon):
    result = gradcon("info")
    assert result.code == 0
    assert result.out.startswith(f"version: {__version__}\n")
    assert "\ncpu_capability: " in result.out


def test_a_detector(gradcon, digits_run):
    for path in (digits_run, digits_run / "detector.safetensors"):
        lines = gradcon("info", path).out.splitlines()
        assert f"file: {digits_run / 'detector.safetensors'}" in lines
        assert "model.name: ConvAutoencoder" in lines
        assert "preprocessing.size: 8, 8" in lines
        assert "training.epochs: 2" in lines
        assert "training.data.dataset: digits" in lines


def test_a_file_that_is_no_detector(gradcon, tmp_path):
    (tmp_path / "detector.safetensors").write_bytes(b"something else")
    result = gradcon("info", tmp_path)
    assert result.code == 1
    assert re.search("detector.safetensors .*damaged", result.error)


def test_nothing_there(gradcon, tmp_path):
    result = gradcon("info", tmp_path / "nowhere")
    assert result.code == 1
    assert re.search(f"{tmp_path / 'nowhere'}.*`gradcon train`", result.error)
    assert re.search(f"no detector.safetensors in {tmp_path}", gradcon("info", tmp_path).error)


def test_a_run_that_is_not_finished(gradcon, digits_run):
    (digits_run / "detector.safetensors").unlink()
    assert re.search(f"detector.safetensors in {digits_run}.*not finished", gradcon("info", digits_run).error)


def test_a_detector_of_a_custom_model(gradcon, digits_run):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file, model=Custom(1, 8, 4))
    detector.training["model"] = "Mine"
    detector.save(file)
    result = gradcon("info", digits_run)
    assert result.code == 0
    assert "model: Mine\n" in result.out
    assert "constrained layers: decoder.0.weight, " in result.out
