from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.data.mnist import FASHION_MNIST_CLASSES
from gradcon_ext.reproduce.experiments import RECIPES, Experiment, evenly, logarithmically, slug

FIRST = Experiment("digits", "cae", "0", 0)


def weights(experiment):
    return torch.cat([parameter.detach().flatten() for parameter in experiment.new_model().parameters()])


def images(experiment, tmp_path):
    return experiment.run(1, tmp_path, None).images()


def test_the_first_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    expected = weights(FIRST)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    for same in (FIRST, replace(FIRST, model="cae-grad"), replace(FIRST, inlier="1")):
        assert torch.equal(weights(same), expected)
    assert not torch.equal(weights(replace(FIRST, seed=1)), expected)


def test_the_split_depends_on_seed_and_class_alone(tmp_path):
    expected = images(FIRST, tmp_path)
    for ours, theirs in zip(images(replace(FIRST, model="vae"), tmp_path), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for other in (replace(FIRST, seed=1), replace(FIRST, inlier="1")):
        assert not np.array_equal(images(other, tmp_path)[1], expected[1])


@pytest.mark.parametrize("model", RECIPES)
def test_a_run_is_told_all_that_makes_it(tmp_path, model):
    run = replace(FIRST, model=model, seed=3).run(50, tmp_path, None)
    assert (run.name, run.out) == (f"digits/{model}/0/seed-3", tmp_path / "digits" / model / "0" / "seed-3")
    assert run.model.architecture == {
        "name": "ConvVariationalAutoencoder" if "vae" in model else "ConvAutoencoder",
        "channels": 1,
        "size": [8, 8],
        "width": 32,
    }
    kept = [10, 12, 14, 17, 20, 24, 29, 35, 42, 50] if "long" in model else range(5, 51, 5)
    kept = None if "balanced" in model else kept
    assert run.trainer == {
        "epochs": 50,
        "seed": 3,
        "data": {"dataset": "digits", "inlier": "0", "seed": 3},
        "snapshot_every": kept,
        "snapshot_best": () if "balanced" in model else range(1, 51, 5),
        **({} if "grad" in model else {"alpha": 0.0}),
        **({"average": "primal"} if "primal" in model else {}),
        **({"alpha": 0.3} if "strong" in model else {}),
        **({"alpha": 0.03, "lead_in": 10} if "balanced" in model else {}),
    }


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (9, 1), (10, 1), (20, 2), (1000, 100)])
def test_about_ten_snapshots_are_kept(epochs, every):
    assert list(evenly(epochs)) == list(range(every, epochs + 1, every))


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (11, [10, 11]),
        (1000, [10, 17, 28, 46, 77, 129, 215, 359, 599, 1000]),
    ],
)
def test_snapshots_are_spread_over_a_logarithmic_axis(epochs, expected):
    assert logarithmically(epochs) == expected


@given(st.integers(1, 10**5))
def test_spread_snapshots_are_few_and_end_with_the_last_epoch(epochs):
    kept = logarithmically(epochs)
    assert len(kept) <= 10
    assert kept == sorted(set(kept))
    assert kept[-1] == epochs


def test_every_class_makes_a_file_name_of_its_own():
    names = {slug(name) for name in FASHION_MNIST_CLASSES}
    assert len(names) == len(FASHION_MNIST_CLASSES)
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert slug(" T-shirt/top ") == "t-shirt-top"
