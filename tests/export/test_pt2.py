"""Programs of torch.export, here and elsewhere; a compiled one of whole images is in tests/cli/test_export.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import gradcon_ext
from gradcon_ext import Tiling
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.stored_chain import StoredChain, read_stored_chain
from gradcon_ext.export import pt2
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from support.stored_chains import random_references, stored_chain
from support.tiled_detectors import COLUMNS, images_of, stored, tiled

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)


def small(model: torch.nn.Module | None = None) -> StoredChain:
    model = model or ConvAutoencoder(1, 8, width=8)
    return stored_chain(model.eval(), random_references(model), (1, 8, 8))


def scores(detector: StoredChain, images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: part.numpy() for name, part in pt2.program_of(detector)(torch.from_numpy(images)).items()}


@pytest.mark.parametrize("in_bytes", [False, True])
def test_any_number_of_images(in_bytes: bool) -> None:
    detector = small(ConvVariationalAutoencoder(1, 8, width=8))
    program = pt2.exported(detector, in_bytes).module()
    images = IMAGES if in_bytes else IMAGES.astype(np.float32) / 255
    for count in (1, 2, 5):
        given, expected = program(torch.from_numpy(images[:count])), scores(detector, images[:count])
        assert given.keys() == expected.keys()
        assert given["cosine"].all()
        for name, part in expected.items():
            np.testing.assert_array_equal(given[name], part)


def test_a_balanced_and_calibrated_detector_scores_as_the_scorer_does(tmp_path: Path) -> None:
    model = ConvAutoencoder(1, 8, width=8).eval()
    detector = Detector(model, random_references(model), 3, 0.2, {"channels": 1, "size": [8, 8]})
    training = torch.rand(30, 1, 8, 8)
    balanced = gradcon_ext.balanced(detector, training[:20], training[20:])
    gradcon_ext.calibrated(balanced, torch.rand(19, 1, 8, 8), "balanced", 0.3).save(tmp_path / "detector.safetensors")
    _, stored = read_stored_chain(tmp_path)
    program = pt2.exported(stored, in_bytes=True).module()
    given = program(torch.from_numpy(IMAGES))
    expected = gradcon_ext.Scorer.load(tmp_path).score(IMAGES)
    for name in (*expected._fields, "gradient"):
        torch.testing.assert_close(given[name], getattr(expected, name), check_dtype=name != "p_value")


def test_verdicts() -> None:
    detector = small()
    values = np.sort(scores(detector, IMAGES)["anomaly"])
    judged = detector._replace(calibration=Calibration(0.4, {"combined": values[1:]}))
    given = pt2.exported(judged, in_bytes=True).module()(torch.from_numpy(IMAGES))
    rank = scores(detector, IMAGES)["anomaly"].argsort().argsort()
    np.testing.assert_allclose(given["p_value"], (1 + np.minimum(4, 5 - rank)) / 5, 1e-6)
    np.testing.assert_array_equal(given["is_outlier"], (1 + np.minimum(4, 5 - rank)) <= 2)


@pytest.mark.parametrize("in_bytes", [False, True])
@pytest.mark.parametrize("pooling", ["largest:3", "quantile:0.9"])
def test_images_are_scored_by_their_tiles(tmp_path: Path, in_bytes: bool, pooling: str) -> None:
    detector = tiled(Tiling(8, 4, 0.7, even_contrast=True), (1, 20, 30), pooling)
    program = pt2.exported(stored(detector, tmp_path), in_bytes, (20, 30)).module()
    images = images_of(3, (1, 20, 30), seed=7)
    images = (images * 255).to(torch.uint8) if in_bytes else images
    for count in (1, 3):
        given, expected = program(images[:count]), gradcon_ext.scorer_of(detector).score(images[:count])
        for name in (*COLUMNS, "is_outlier"):
            torch.testing.assert_close(given[name], getattr(expected, name), rtol=1e-5, atol=1e-5)


RUN_ELSEWHERE = """
import sys
import warnings
import numpy, torch
import gradcon_ext.ops
program = torch.export.load(sys.argv[1]).module()
images = torch.from_numpy(numpy.load(sys.argv[2]))
numpy.savez(sys.argv[3], **{str(n): program(images[:n])["anomaly"].numpy() for n in (1, 2, 5)})
"""


def test_a_fresh_process_runs_the_file(tmp_path: Path) -> None:
    detector = small()
    pt2.write_pt2(tmp_path / "detector.pt2", pt2.exported(detector, in_bytes=True))
    np.save(tmp_path / "images.npy", IMAGES)
    paths = [tmp_path / name for name in ("detector.pt2", "images.npy", "scores.npz")]
    command = [sys.executable, "-c", RUN_ELSEWHERE, *paths]
    # Elsewhere than in the source, which comes before the installed package.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for count, given in np.load(tmp_path / "scores.npz").items():
        np.testing.assert_array_equal(given, scores(detector, IMAGES[: int(count)])["anomaly"])


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_aot_inductor_compiles_the_scores_of_tiles(tmp_path: Path) -> None:
    detector = tiled(Tiling(8, 4, 0.7), (1, 20, 30))
    images = (images_of(3, (1, 20, 30), seed=7) * 255).to(torch.uint8)
    path = tmp_path / "detector.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own
        pt2.write_compiled(path, pt2.exported(stored(detector, tmp_path), in_bytes=True, size=(20, 30)))
        opened = pt2.open_compiled(path)
    assert (opened.image_shape, opened.in_bytes) == ((1, 20, 30), True)
    given, expected = opened.score(images.numpy()), gradcon_ext.scorer_of(detector).score(images)
    for name in COLUMNS:
        np.testing.assert_allclose(given[name], getattr(expected, name), rtol=1e-5, atol=1e-5)


def test_where_nothing_compiles_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("no compiler")

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", fail)
    with pytest.raises(RuntimeError, match="AOTInductor does not compile here: no compiler"):
        pt2.write_compiled(tmp_path / "detector.pt2", pt2.exported(small()))
    assert not list(tmp_path.iterdir())
