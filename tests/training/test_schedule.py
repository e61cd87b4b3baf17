from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.training.schedule import Schedule
from support.training_runs import TRAIN, VAL, assert_same_detector, history_of, new_trainer


def rates(shape, warmup, epochs, lr=2.0):
    schedule = Schedule(lr, shape, warmup, epochs)
    return [schedule.rate(epoch) for epoch in range(epochs)]


def test_rates():
    assert rates("constant", 0, 3) == [2, 2, 2]
    assert rates("constant", 4, 6) == [0.5, 1, 1.5, 2, 2, 2]
    assert rates("linear", 0, 4) == [2, 1.5, 1, 0.5]
    assert rates("cosine", 2, 6) == pytest.approx([1, 2, 2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])


@given(st.sampled_from(["linear", "cosine"]), st.integers(0, 20), st.integers(1, 50))
def test_a_rate_rises_in_the_warm_up_and_falls_after_it(shape, warmup, others):
    values = rates(shape, warmup, warmup + others)
    assert values[:warmup] == sorted(values[:warmup])
    assert values[warmup:] == sorted(values[warmup:], reverse=True)
    assert all(0 < value <= 2 for value in values)
    assert values[max(warmup - 1, 0)] == 2


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_torch_has_the_same_rates(shape):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    theirs = {
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 7),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7),
    }[shape]()
    for rate in rates(shape, 0, 7):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("kept_as_tensor", [False, True])
def test_an_optimizer_is_given_the_rate(kept_as_tensor):
    rate = torch.tensor(5.0) if kept_as_tensor else 5.0
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=rate, capturable=kept_as_tensor)
    Schedule(5.0, "linear", 0, 5).apply(optimizer, 2)
    assert optimizer.param_groups[0]["lr"] == 3.0
    assert not kept_as_tensor or optimizer.param_groups[0]["lr"] is rate


def test_a_run_follows_it_and_can_be_resumed(tmp_path):
    settings = {"schedule": "cosine", "warmup": 1, "epochs": 4}
    given_rates = []
    whole = new_trainer(**settings, out=tmp_path / "whole", log=lambda metrics, _: given_rates.append(metrics["lr"]))
    detector = whole.fit(TRAIN, VAL)
    assert given_rates == rates("cosine", 1, 4, whole.lr)

    def stop(metrics, step):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_trainer(**settings, out=tmp_path / "parts", log=stop).fit(TRAIN, VAL)
    assert_same_detector(detector, new_trainer(**settings, out=tmp_path / "parts").fit(TRAIN, VAL, resume=True))
    assert history_of(tmp_path / "whole") == history_of(tmp_path / "parts")
    assert detector.training["schedule"] == {"shape": "cosine", "warmup": 1, "epochs": 4}


@pytest.mark.parametrize("other", [{}, {"schedule": "linear"}, {"schedule": "cosine", "epochs": 6}])
def test_a_run_is_not_resumed_with_another_one(tmp_path, other):
    new_trainer(schedule="cosine", epochs=2, out=tmp_path).fit(TRAIN, VAL)
    with pytest.raises(ValueError, match="schedule"):
        new_trainer(**{"epochs": 2, **other}, out=tmp_path).fit(TRAIN, VAL, resume=True)


def test_a_constant_rate_changes_nothing():
    assert_same_detector(new_trainer().fit(TRAIN, VAL), new_trainer(schedule="constant", warmup=0).fit(TRAIN, VAL))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"schedule": "steps"}, "schedule"),
        ({"warmup": -1}, "warmup"),
        ({"warmup": 1.5}, "warmup"),
        ({"schedule": "linear", "warmup": 3, "epochs": 3}, "warmup=3"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        new_trainer(**arguments).fit(TRAIN, VAL)
