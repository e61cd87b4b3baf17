"""A scorer makes of a model whose settings have changed what a new one makes of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext.losses import squared_error
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.objective import Objective
from support.hidden_settings import READ_FROM_TENSORS, UNSEEN, WATCHED, Setting, Switched
from support.hostile_chains import SHAPE, Plain

ALL = {**WATCHED, **UNSEEN, **{f"{name} of a tensor": setting for name, setting in READ_FROM_TENSORS.items()}}
WEIGHT = "decoder.0.weight"


def scorer_of(model: nn.Module) -> Scorer:
    weight = model.get_parameter(WEIGHT)
    return Scorer(model, {WEIGHT: torch.linspace(-1, 1, weight.numel()).view_as(weight)})


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", ALL)
def test_a_changed_setting_changes_the_scores(name: str, images: Tensor) -> None:
    setting = ALL[name]
    assert not setting.read()
    torch.manual_seed(1)
    model = Switched(setting.read).eval()
    scorer = scorer_of(model)
    before = scorer.score(images)
    assert scorer.engine is not None
    assert scorer.engine.name == ("fused chain" if name in WATCHED else "any model")
    try:
        setting.change()
        after, anew = scorer.score(images), scorer_of(model).score(images)
        assert model.read() == (name != "itertools")
    finally:
        setting.reset()
    torch.testing.assert_close(after, anew)
    assert torch.equal(before.anomaly, after.anomaly) == (name == "itertools")


def test_a_changed_setting_changes_a_step_of_training() -> None:
    setting: Setting = WATCHED["attribute of a class"]
    torch.manual_seed(1)
    model = Switched(setting.read).train()
    model.encoder[2] = nn.Identity()
    constraint = GradientConstraint({WEIGHT: model.get_parameter(WEIGHT)}, 0.03)
    objective = Objective(model, squared_error, constraint, SHAPE)
    images = torch.randint(0, 256, (4, *SHAPE), dtype=torch.uint8)
    objective.forward(images)
    try:
        setting.change()
        computed = objective.forward(images).reconstruction
        expected = squared_error(model(images / 255), images / 255).reconstruction
    finally:
        setting.reset()
    assert objective.engine.name == "fused chain"
    torch.testing.assert_close(computed, expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda scorer: pickle.loads(pickle.dumps(scorer))])
def test_a_copy_of_a_used_scorer_looks_at_its_own_model(copied: Callable[[Scorer], Scorer], images: Tensor) -> None:
    torch.manual_seed(1)
    scorer = scorer_of(Plain().eval())
    scores = scorer.score(images)
    other = copied(scorer)
    assert other.engine is None
    torch.testing.assert_close(other.score(images), scores)
    assert other.engine == scorer.engine
    other.model.decoder[1].alpha = 0.2
    changed = other.score(images)
    torch.testing.assert_close(changed, scorer_of(other.model).score(images))
    assert not torch.equal(changed.anomaly, scores.anomaly)
    torch.testing.assert_close(scorer.score(images), scores)
