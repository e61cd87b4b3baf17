"""Rules choose what they say, and pools are what they are said to be."""

from __future__ import annotations

import pytest
import torch

from benchmarks.examples import selection
from benchmarks.examples.labelled_images import Images, flipped
from benchmarks.examples.selection_rules import ALIGNED, LARGEST_GRADIENT, LEAST_LOSS, OF_THE_HALF, chosen, ranked
from benchmarks.examples.small_classifier import convolutional, gradients_of_batches, loss


def samples(count: int, seed: int = 0) -> Images:
    generator = torch.Generator().manual_seed(seed)
    return Images(torch.rand(count, 1, 28, 28, generator=generator), torch.arange(count) % 10)


def test_the_best_share_of_each_label_is_chosen() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    values = torch.tensor([1.0, 4, 3, 2, 0, -1])
    assert sorted(chosen(values, labels, 0.5).tolist()) == [1, 2, 4]


def test_a_share_of_labels_is_wrong() -> None:
    labels = torch.arange(1000) % 10
    given, is_wrong = flipped(labels, 0.4, torch.Generator().manual_seed(0))
    assert (given != labels).equal(is_wrong) and int(is_wrong.sum()) == 400
    assert given.min() == 0 and given.max() == 9


def test_rules_rank_as_they_say() -> None:
    model = convolutional(0, width=2)
    wanted, others = samples(10), samples(20, seed=1)
    pool = Images(torch.cat([wanted.images, others.images]), torch.cat([wanted.labels, others.labels]))
    values = ranked([model, model], pool, wanted, torch.Generator().manual_seed(0))
    of_wanted, of_others = values[ALIGNED].split([10, 20])
    torch.testing.assert_close(of_wanted, torch.full((10,), 2.0))  # the only one of its class; two checkpoints
    assert (of_others < of_wanted.min()).all()
    gradients = gradients_of_batches(model, zip(pool.images.split(1), pool.labels.split(1), strict=True))
    norms = torch.cat([some.flatten(1) for some in gradients.values()], 1).norm(dim=1)
    torch.testing.assert_close(values[LARGEST_GRADIENT], 2 * norms)
    torch.testing.assert_close(values[LEAST_LOSS], -2 * loss(model(pool.images), pool.labels).detach())

    of_half = values[f"{LEAST_LOSS}, {OF_THE_HALF}"] > 1
    of_label = pool.labels == 3
    assert of_half[of_label].sum() == 2  # of three
    assert values[LEAST_LOSS][of_label & of_half].min() > values[LEAST_LOSS][of_label & ~of_half].max()


@pytest.fixture
def small(monkeypatch):
    for name, value in {"POOL": 60, "WANTED": 20, "SHARES": (0.2,), "STEPS": 2, "WARM_UP": (1, 2), "HIDDEN": 4}.items():
        monkeypatch.setattr(selection, name, value)


def test_pools(small) -> None:
    train, others, tests = samples(100), samples(100, seed=1), samples(20, seed=2)
    mixed = selection.mixed(train, tests, others, seed=0)
    assert len(mixed.pool) == 60 and len(mixed.wanted) == 20 and int(mixed.is_of_use.sum()) == 30
    assert all(any(image.equal(other) for other in train.images) for image in mixed.pool.images[mixed.is_of_use])
    noisy = selection.with_wrong_labels(train, tests, seed=0)
    assert int(noisy.is_of_use.sum()) == 36
    assert not any(image.equal(other) for image in noisy.wanted.images for other in noisy.pool.images)


def test_every_rule_is_measured_for_every_seed(small) -> None:
    train, tests = samples(100), samples(20, seed=2)
    measured = selection.measure_rules([selection.with_wrong_labels(train, tests, seed) for seed in (0, 1)])
    assert len(measured.accuracies) == 9 and len(measured.of_use) == 7
    assert {len(values) for values in [*measured.accuracies.values(), *measured.of_use.values()]} == {2}
    assert measured.of_use[selection.KNOWN, 0.2] == [1, 1]
    assert f"| {selection.KNOWN} | " in selection.rules_table(measured)
