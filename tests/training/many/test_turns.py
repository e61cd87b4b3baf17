from __future__ import annotations

import itertools

import torch

from gradcon_ext._install.device import usable_device
from gradcon_ext.detector.detector import Detector
from gradcon_ext.models import ConvVariationalAutoencoder
from gradcon_ext.training.many.held_once import on_device
from gradcon_ext.training.many.turns import in_turns
from gradcon_ext.training.progress import Progress
from support.many_runs import ARGUMENTS, IMAGES, blank_model, fit, load_images, new_run
from support.training_runs import assert_same_detector, new_model, new_trainer

CPU = torch.device("cpu")


def result_of(runs, device=CPU, at_once=3, resume=False):
    results = {}
    for index, event in in_turns(runs, device, at_once, resume):
        assert index not in results
        if not isinstance(event, Progress):
            results[index] = event
    return results


def test_runs_that_take_turns_end_as_if_each_were_alone():
    runs = [
        new_run("plain"),
        new_run("variational", new_model(ConvVariationalAutoencoder)),
        new_run("loaded", new_model(ConvVariationalAutoencoder), load_images, seed=3),
        new_run("other seed", seed=2),
    ]
    state = torch.get_rng_state()
    results = result_of(runs)
    assert torch.equal(torch.get_rng_state(), state)
    for index, run in enumerate(runs):
        assert_same_detector(fit(run), results[index])


def test_several_runs_are_under_way_at_once():
    runs = [new_run(str(seed), seed=seed) for seed in range(3)]
    order = [index for index, _ in in_turns(runs, CPU, 2, resume=False)]
    assert order[:4] == [0, 1, 0, 1]
    assert order[-1] == 2
    assert order.index(2) > len(order) // 3


def test_a_finished_run_says_how_far_it_is(tmp_path):
    run = new_run("finished", out=tmp_path)
    result_of([run])
    progress, detector = (event for _, event in in_turns([run], CPU, 1, resume=True))
    assert (progress.images, progress.total) == (120, 120)
    assert_same_detector(fit(run), detector)


def test_a_run_that_fails_does_not_lose_the_others():
    results = result_of([new_run("bad", blank_model()), new_run("good"), new_run("wrong", loudness=11)])
    assert "nan" in str(results[0])
    assert isinstance(results[1], Detector)
    assert isinstance(results[2], TypeError)


def test_runs_that_are_left_in_the_middle_can_be_resumed(tmp_path):
    runs = [new_run(str(seed), seed=seed, out=tmp_path / str(seed)) for seed in range(2)]
    state = torch.get_rng_state()
    events = in_turns(runs, CPU, 2, resume=False)
    assert len(list(itertools.islice(events, 5))) == 5
    events.close()
    assert torch.equal(torch.get_rng_state(), state)
    results = result_of(runs, resume=True)
    for index, run in enumerate(runs):
        assert_same_detector(fit(run), results[index])


def test_turns_on_a_device(device):
    device = usable_device(device)
    model_types = (type(new_model()), ConvVariationalAutoencoder)
    runs = [new_run(model_type.__name__, new_model(model_type)) for model_type in model_types]
    results = result_of(on_device(runs, device), device)
    for index, run in enumerate(runs):
        expected = new_trainer(new_model(type(run.model)), device=device, **ARGUMENTS).fit(*IMAGES)
        for name, weight in expected.model.state_dict().items():
            torch.testing.assert_close(results[index].model.state_dict()[name], weight, rtol=0, atol=1e-4)
