"""Detectors with p-values and verdicts: made, scored with on every path, and kept in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from gradcon_ext import Detector, Scorer, average_detectors, balanced, calibrated, runtime, select
from gradcon_ext.detector.parts import losses_of, part_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors

TRAIN, HELD_OUT, CALIBRATION, OTHERS = (
    torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(n)) for n in (70, 20, 30, 33)
)


def detector_of(model: ConvAutoencoder) -> Detector:
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    references = {name: torch.randn_like(model.get_parameter(name)) for name in names}
    return Detector(model.eval(), references, 1, preprocessing={"channels": 1, "size": [12, 12]})


@pytest.fixture(params=[ConvAutoencoder, ConvVariationalAutoencoder])
def plain(request: pytest.FixtureRequest) -> Detector:
    return detector_of(request.param(1, 12, width=4))


@pytest.fixture
def detector(plain: Detector) -> Detector:
    return calibrated(balanced(plain, TRAIN, HELD_OUT), CALIBRATION, "balanced", 0.1)


def test_p_values_are_ranks_among_calibration_images(detector: Detector) -> None:
    scorer = Scorer.from_detector(detector)
    scores = scorer.score(OTHERS)
    for part in losses_of(scores):
        own, others = (part_of(scorer.score(images), part).numpy() for images in (CALIBRATION, OTHERS))
        expected = (1 + (own[None] >= others[:, None]).sum(1)) / (len(own) + 1)
        by_part = Scorer.from_detector(replace(detector, part=part)).score(OTHERS)
        np.testing.assert_array_equal(by_part.p_value.numpy(), expected)
        np.testing.assert_array_equal(by_part.is_outlier.numpy(), expected <= 0.1)
    np.testing.assert_array_equal(scores.p_value, Scorer.from_detector(detector).score(OTHERS, 5).p_value)


def test_a_score_without_a_calibration_stays_as_it_is(plain: Detector, detector: Detector) -> None:
    scores = Scorer.from_detector(plain).score(OTHERS)
    assert scores.p_value is scores.is_outlier is None
    judged = Scorer.from_detector(calibrated(plain, CALIBRATION)).score(OTHERS, batch_size=4)
    assert judged.balanced is None and judged.p_value.shape == judged.is_outlier.shape == (33,)
    assert torch.equal(Scorer.from_detector(detector).score(OTHERS).anomaly, scores.anomaly)


def test_a_file_keeps_it_and_a_machine_without_torch_agrees(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    loaded = Detector.load(path)
    assert (loaded.part, loaded.calibration.rate) == ("balanced", 0.1)
    expected = Scorer.from_detector(detector).score(OTHERS)
    assert torch.equal(Scorer.load(path).score(OTHERS).p_value, expected.p_value)
    arrays = runtime.Scorer.load(path).score(OTHERS.numpy())
    # A score in the last bit of a calibration image's may be on its other side.
    assert abs(arrays.p_value - expected.p_value.numpy()).max() <= 1 / 31 + 1e-12
    assert (arrays.p_value == expected.p_value.numpy()).mean() > 0.9
    np.testing.assert_array_equal(arrays.is_outlier, arrays.p_value <= 0.1)
    custom = Detector.load(path, model=type(detector.model)(1, 12, width=4))
    assert custom.calibration.scores.keys() == detector.calibration.scores.keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_scores_are_kept_as_they_are_whatever_the_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    model = ConvAutoencoder(1, 12, width=4)
    exact = calibrated(detector_of(model), CALIBRATION).calibration
    cast = replace(detector_of(model.to(dtype)), calibration=exact)
    cast.save(tmp_path / "detector.safetensors")
    loaded = Detector.load(tmp_path / "detector.safetensors", model=ConvAutoencoder(1, 12, width=4))
    assert next(loaded.model.parameters()).dtype == dtype
    for part, scores in exact.scores.items():
        np.testing.assert_array_equal(loaded.calibration.scores[part], scores)


def test_files_from_before_load_without_a_verdict(plain: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    plain.save(path)
    tensors, facts = read_tensors(path, "detector", 1)
    del facts["part"], facts["calibration"], facts["kind"], facts["version"]
    write_tensors(path, "detector", 1, tensors, facts)
    assert (Detector.load(path).part, Detector.load(path).calibration) == ("combined", None)
    assert Scorer.load(path).score(OTHERS).p_value is None
    assert runtime.Scorer.load(path).score(OTHERS.numpy()).p_value is None


NAN = torch.full((6, 30), torch.nan)


@pytest.mark.parametrize(
    ("facts", "tensor", "message"),
    [
        ({"part": "brightness"}, ..., "part 'brightness'"),
        ({"part": 3}, ..., "part to be of type str"),
        ({"part": "latent"}, ..., "calibration of reconstruction"),
        ({"balance": None}, ..., "part 'balanced' is none"),
        ({"calibration": None}, ..., r"calibration.scores: expected no such tensor"),
        ({"calibration": [0.1]}, ..., "calibration to be of type"),
        ({"calibration": {"rate": 0.1}}, ..., "rate and parts"),
        ({"calibration": {"rate": 2.0, "parts": ["balanced"]}}, ..., "rate and parts"),
        ({"calibration": {"rate": 0.1, "parts": ["balanced"]}}, ..., r"expected float32 \(1, n\)"),
        ({}, None, "no tensor calibration.scores"),
        ({}, NAN, "finite numbers in ascending order"),
        ({}, -torch.arange(180.0).reshape(6, 30), "finite numbers in ascending order"),
        ({}, torch.zeros(6), r"expected float32 \(6, n\), got float32 \(6,\)"),
        ({}, torch.zeros(6, 0), r"got float32 \(6, 0\)"),
        ({}, torch.zeros(6, 30).double(), "got float64"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, facts: dict, tensor: object, message: str) -> None:
    path = tmp_path / "detector.safetensors"
    plain = detector_of(ConvAutoencoder(1, 12, width=4))
    calibrated(balanced(plain, TRAIN, HELD_OUT), CALIBRATION, "balanced").save(path)
    tensors, written = read_tensors(path, "detector", 1)
    if tensor is None:
        del tensors["calibration.scores"]
    elif tensor is not ...:
        tensors["calibration.scores"] = tensor
    del written["kind"], written["version"]
    write_tensors(path, "detector", 1, tensors, {**written, **facts})
    for load in (Detector.load, runtime.Scorer.load):
        with pytest.raises(ValueError, match=message):
            load(path)


def test_the_rate_is_1_percent_where_that_can_be(plain: Detector) -> None:
    assert calibrated(plain, CALIBRATION).calibration.rate == 1 / 31
    assert calibrated(plain, torch.rand(99, 1, 12, 12)).calibration.rate == 0.01
    assert calibrated(plain, torch.rand(120, 1, 12, 12)).calibration.rate == 0.01
    stated = calibrated(plain, CALIBRATION, rate=0.01)
    assert stated.calibration.rate == 0.01
    assert not Scorer.from_detector(stated).score(OTHERS).is_outlier.any()


@pytest.mark.parametrize(
    ("part", "rate", "message"),
    [("balanced", 0.1, "'balanced' needs a detector with a balance"), ("x", 0.1, "no part 'x'"), (None, 1.5, "1.5")],
)
def test_what_cannot_be_calibrated(plain: Detector, part: str | None, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrated(plain, CALIBRATION, part, rate)


def test_a_part_that_was_not_calibrated_cannot_decide(detector: Detector) -> None:
    with pytest.raises(ValueError, match="'brightness' was not calibrated"):
        Scorer.from_detector(replace(detector, part="brightness"))


def test_another_balance_needs_another_calibration(detector: Detector) -> None:
    assert balanced(detector, TRAIN, HELD_OUT).calibration is None
    average = average_detectors([detector, detector])
    assert (average.part, average.calibration) == ("combined", None)


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return (1 + (calibration[None] >= scores[:, None]).sum(1)) / (len(calibration) + 1)


def test_the_false_discovery_rate_holds() -> None:
    generator = np.random.default_rng(0)
    is_outlier = np.arange(60) < 12
    shares, found = [], []
    for _ in range(400):
        scores = generator.normal(size=60) + 3 * is_outlier
        selected = select(p_values(generator.normal(size=300), scores), 0.2)
        shares.append((selected & ~is_outlier).sum() / max(1, selected.sum()))
        found.append((selected & is_outlier).mean() / is_outlier.mean())
    # For independent p-values the rate is exactly the share of inliers times what is stated.
    assert np.mean(shares) == pytest.approx(0.2 * 0.8, abs=4 * np.std(shares) / np.sqrt(len(shares)))
    assert np.mean(found) > 0.5


def test_nothing_is_selected_too_often_where_there_are_no_outliers() -> None:
    generator, trials = np.random.default_rng(1), 600
    any_selected = sum(
        bool(select(p_values(generator.normal(size=199), generator.normal(size=20)), 0.1).any()) for _ in range(trials)
    )
    assert any_selected > 0 and binomtest(any_selected, trials, 0.1, "greater").pvalue > 1e-3


def test_selection_is_that_of_benjamini_and_hochberg() -> None:
    values = np.random.default_rng(0).random(200) ** 3
    for rate in (0.05, 0.2, 0.5):
        ordered = np.sort(values)
        below = np.flatnonzero(ordered <= rate * np.arange(1, 201) / 200)
        limit = ordered[below[-1]] if len(below) else -1
        np.testing.assert_array_equal(select(values, rate), values <= limit)
    assert select([], 0.1).shape == (0,)


@pytest.mark.parametrize(
    ("values", "rate", "message"),
    [
        ([0.1], 0.0, "above 0 and below 1, got 0.0"),
        ([0.1], float("nan"), "above 0 and below 1"),
        ([0.1, float("nan")], 0.1, "from 0 to 1"),
        ([1.1], 0.1, "from 0 to 1"),
        ([[0.1]], 0.1, r"shape \(1, 1\)"),
    ],
)
def test_what_cannot_be_selected_from(values: list, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(values, rate)
