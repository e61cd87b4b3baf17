from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from gradcon_ext.data.mnist import FASHION_MNIST_CLASSES
from gradcon_ext.reproduce.experiments import RECIPES, Experiment, slug

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
    assert run.trainer == {
        "epochs": 50,
        "seed": 3,
        "data": {"dataset": "digits", "inlier": "0", "seed": 3},
        "snapshot_every": None if "balanced" in model else 5,
        **({} if "grad" in model else {"alpha": 0.0}),
        **({"average": "primal"} if "primal" in model else {}),
        **({"alpha": 0.3} if "strong" in model else {}),
        **({"alpha": 0.003} if "balanced" in model else {}),
    }


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (9, 1), (10, 1), (20, 2), (1000, 100)])
def test_about_ten_snapshots_are_kept(tmp_path, epochs, every):
    assert FIRST.run(epochs, tmp_path, None).trainer["snapshot_every"] == every


def test_every_class_makes_a_file_name_of_its_own():
    names = {slug(name) for name in FASHION_MNIST_CLASSES}
    assert len(names) == len(FASHION_MNIST_CLASSES)
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert slug(" T-shirt/top ") == "t-shirt-top"
