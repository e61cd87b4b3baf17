"""Detectors with a balanced score: made, scored with on every path, and kept in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Detector, Scorer, average_detectors, balanced, runtime
from gradcon_ext.detector.balance import TERMS, WEIGHTS, Balance
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors

TRAIN, HELD_OUT, OTHERS = (torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(n)) for n in (70, 20, 33))


class Gated(nn.Module):
    """No chain of layers."""

    loss = staticmethod(squared_error)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.decoder = nn.ConvTranspose2d(3, 1, 4, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        code = self.encoder(images)
        return torch.sigmoid(self.decoder(code * torch.sigmoid(code)))


def detector_of(model: nn.Module) -> Detector:
    torch.manual_seed(0)
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    references = {name: torch.randn_like(model.get_parameter(name)) for name in names}
    return Detector(model.eval(), references, 1, preprocessing={"channels": 1, "size": [12, 12]})


@pytest.fixture(params=[ConvAutoencoder, ConvVariationalAutoencoder])
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(1)
    return balanced(detector_of(request.param(1, 12, width=4)), TRAIN, HELD_OUT)


def test_parts_are_on_the_scale_of_held_out_inliers(detector: Detector) -> None:
    assert detector.balance is not None
    scores = Scorer.from_detector(detector).score(HELD_OUT)
    parts = {
        "direction": scores.direction,
        "code": scores.code,
        "gradient": scores.gradient,
        "reconstruction": scores.reconstruction + scores.latent,
    }
    expected = torch.zeros(len(HELD_OUT), dtype=torch.float64)
    for name, weight in WEIGHTS.items():
        part = parts[name].double()
        expected += weight * (part - part.mean()) / part.std()
    torch.testing.assert_close(scores.balanced.double(), expected, atol=1e-3, rtol=1e-3)


def test_what_the_paper_scores_by_stays_as_it_is(detector: Detector) -> None:
    scores = Scorer.from_detector(detector).score(OTHERS)
    without = Scorer.from_detector(replace(detector, balance=None)).score(OTHERS)
    assert without.direction is without.code is without.balanced is None
    for name in ("reconstruction", "latent", "cosine", "anomaly"):
        assert torch.equal(getattr(scores, name), getattr(without, name))


@pytest.mark.parametrize("batch_size", [5, 512])
def test_batches_make_no_difference(detector: Detector, batch_size: int) -> None:
    scorer = Scorer.from_detector(detector)
    scores, expected = scorer.score(OTHERS, batch_size), scorer.score(OTHERS)
    torch.testing.assert_close(scores.balanced, expected.balanced, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores.code, expected.code)


def test_any_model_has_a_code(detector: Detector) -> None:
    fused = Scorer.from_detector(detector)
    expected = fused.score(OTHERS)
    detector.model.register_forward_hook(lambda *_: None)
    hooked = Scorer.from_detector(detector)
    scores = hooked.score(OTHERS)
    assert fused.engine.name == "fused chain"
    assert hooked.engine.name == "any model"
    torch.testing.assert_close(scores.code, expected.code)
    torch.testing.assert_close(scores.balanced, expected.balanced, atol=1e-3, rtol=1e-3)
    gated = balanced(detector_of(Gated()), TRAIN, HELD_OUT)
    assert bool(Scorer.from_detector(gated).score(OTHERS).balanced.isfinite().all())


def test_a_file_keeps_it_and_a_machine_without_torch_agrees(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "detector.safetensors")
    expected = Scorer.from_detector(detector).score(OTHERS)
    scores = Scorer.load(tmp_path / "detector.safetensors").score(OTHERS)
    assert torch.equal(scores.balanced, expected.balanced)
    arrays = runtime.Scorer.load(tmp_path / "detector.safetensors").score(OTHERS.numpy())
    np.testing.assert_allclose(arrays.direction, expected.direction.numpy(), rtol=1e-4)
    np.testing.assert_allclose(arrays.code, expected.code.numpy(), rtol=1e-4)
    np.testing.assert_allclose(arrays.balanced, expected.balanced.numpy(), atol=1e-3)


@pytest.mark.parametrize("weights", [None, {"direction": 1.0, "code": 0.0, "gradient": 3.0, "reconstruction": 0.5}])
def test_a_file_has_its_own_weights_or_those_of_earlier_versions(
    detector: Detector, tmp_path: Path, weights: dict[str, float] | None
) -> None:
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    tensors, facts = read_tensors(path, "detector", 1)
    assert facts["balance"]["weights"] == WEIGHTS
    after_lead_in = replace(detector, balance=None, training={**detector.training, "lead_in": 3})
    assert balanced(after_lead_in, TRAIN, HELD_OUT).balance.weights == {**WEIGHTS, "gradient": 2.0}
    facts["balance"] = {name: facts["balance"][name] for name in ("center", "scale")}
    if weights is not None:
        facts["balance"]["weights"] = weights
    write_tensors(path, "detector", 1, tensors, _without_head(facts))
    scores = Scorer.load(path).score(OTHERS)
    parts = {name: getattr(scores, name).double() for name in TERMS}
    parts["reconstruction"] += scores.latent
    used = weights or {"direction": 4, "code": 2, "gradient": 1, "reconstruction": 1}
    balance = detector.balance
    expected = sum(used[name] * (parts[name] - balance.center[name]) / balance.scale[name] for name in TERMS)
    torch.testing.assert_close(scores.balanced.double(), expected, atol=1e-3, rtol=1e-4)
    arrays = runtime.Scorer.load(path).score(OTHERS.numpy())
    np.testing.assert_allclose(arrays.balanced, expected.numpy(), atol=1e-3, rtol=1e-4)


def test_a_custom_model_keeps_it_too(tmp_path: Path) -> None:
    detector = balanced(detector_of(Gated()), TRAIN, HELD_OUT)
    detector.save(tmp_path / "detector.safetensors")
    loaded = Detector.load(tmp_path / "detector.safetensors", Gated())
    assert torch.equal(loaded.balance.code.directions, detector.balance.code.directions)
    assert torch.equal(loaded.balance.direction.mean, detector.balance.direction.mean)
    assert loaded.balance.scale == detector.balance.scale


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": dict.fromkeys(WEIGHTS, 0.0)}, "scale of a balance"),
        ({"center": dict.fromkeys(WEIGHTS, float("nan"))}, "scale of a balance"),
        ({"center": {}}, "scale of a balance"),
        ({"weights": {}}, "scale of a balance"),
        ({"weights": dict.fromkeys(WEIGHTS, float("inf"))}, "scale of a balance"),
        ({"code.mean": torch.zeros(3)}, "directions"),
        ({"direction.directions": torch.full((8 * 2 * 2, 1), torch.inf)}, "not finite"),
        ({"code.mean": None}, r"no tensor balance\.code\.mean|balance.code.mean: expected"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "detector.safetensors"
    balanced(detector_of(ConvAutoencoder(1, 12, width=4)), TRAIN, HELD_OUT).save(path)
    tensors, facts = read_tensors(path, "detector", 1)
    facts["balance"] |= {name: value for name, value in change.items() if name in facts["balance"]}
    for name in change.keys() - facts["balance"].keys():
        tensors.pop(f"balance.{name}")
        if change[name] is not None:
            tensors[f"balance.{name}"] = change[name]
    write_tensors(path, "detector", 1, tensors, _without_head(facts))
    for load in (Detector.load, runtime.Scorer.load):
        with pytest.raises(ValueError, match=message):
            load(path)


def test_held_out_images_that_are_alike_have_a_scale(detector: Detector) -> None:
    alike = HELD_OUT[:1].expand(4, -1, -1, -1)
    assert bool(Scorer.from_detector(balanced(detector, TRAIN, alike)).score(OTHERS).balanced.isfinite().all())


def test_too_few_images_are_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="at least 2 held-out"):
        balanced(detector, TRAIN, HELD_OUT[:1])


def test_an_average_has_none(detector: Detector) -> None:
    assert isinstance(detector.balance, Balance)
    assert average_detectors([detector, detector]).balance is None


def _without_head(facts: dict[str, object]) -> dict[str, object]:
    return {name: fact for name, fact in facts.items() if name not in ("format_version", "kind")}
