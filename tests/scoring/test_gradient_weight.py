"""Whether the gradient loss counts in a balanced score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext import Detector, Scorer, balanced
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.gradient_weight import with_gradient_weighed
from gradcon_ext.scoring.proxy import Proxy

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 12, 12)).astype(np.uint8)


@pytest.fixture(scope="module")
def unbalanced():
    torch.manual_seed(0)
    model = ConvAutoencoder(size=12, width=4).eval()
    weights = {name: weight for name, weight in model.named_parameters() if "decoder" in name and weight.dim() > 1}
    return Detector(model, {name: torch.randn_like(weight) for name, weight in weights.items()}, 1)


@pytest.fixture(scope="module")
def detector(unbalanced):
    return balanced(unbalanced, IMAGES[:20], IMAGES[20:])


@pytest.fixture
def noticing(monkeypatch):
    """Lets the gradient have this area, whatever the detector."""

    def let(area):
        found = Proxy({"patches": {"gradient": area, "combined": 0.9, "balanced": 0.6}}, 20)
        monkeypatch.setattr("gradcon_ext.scoring.gradient_weight.notice_damage", lambda scorer, images: found)

    return let


def test_one_that_notices_damage_counts(detector, noticing):
    noticing(0.7)
    weighed, proxy = with_gradient_weighed(detector, IMAGES[20:], "cpu")
    assert weighed is detector
    assert proxy.mean["gradient"] == 0.7


def test_one_that_does_not_is_left_out(detector, noticing):
    noticing(0.45)
    weighed, _ = with_gradient_weighed(detector, IMAGES[20:], "cpu")
    assert weighed.balance.weights == {**detector.balance.weights, "gradient": 0.0}
    before, after = (Scorer.from_detector(each).score(IMAGES) for each in (detector, weighed))
    balance = detector.balance
    deviations = (before.gradient.double() - balance.center["gradient"]) / balance.scale["gradient"]
    expected = before.balanced.double() - balance.weights["gradient"] * deviations
    torch.testing.assert_close(after.balanced.double(), expected, rtol=1e-5, atol=1e-5)
    for part in ("reconstruction", "gradient", "anomaly", "direction", "code"):
        assert torch.equal(getattr(after, part), getattr(before, part))


def test_what_its_parts_notice_is_of_the_detector_that_is_returned(detector):
    weighed, proxy = with_gradient_weighed(detector, IMAGES[20:], "cpu")
    again, same = with_gradient_weighed(weighed, IMAGES[20:], "cpu")
    assert again.balance.weights == weighed.balance.weights
    assert same == proxy


def test_without_a_balance_there_is_nothing_to_weigh(unbalanced):
    with pytest.raises(ValueError, match="balanced"):
        with_gradient_weighed(unbalanced, IMAGES[20:], "cpu")
