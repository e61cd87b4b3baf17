from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import SampleLosses, squared_error
from gradcon_ext.training.run_folder import snapshots
from support.training_runs import (
    TRAIN,
    VAL,
    Interrupted,
    assert_same_detector,
    dead_model,
    history_of,
    interrupted,
    new_model,
    new_trainer,
)


def fit_with_validations(factor, **arguments):
    """Train with a validation loss that is multiplied by a factor once more in each batch."""
    model, scales = new_model(), (factor**exponent for exponent in count())

    def loss(output, images):
        scale = 1 if model.training else next(scales)
        return SampleLosses(*(part * scale for part in squared_error(output, images)))

    # Without alpha the loss alone decides which epoch is the best.
    return new_trainer(model, alpha=0.0, loss=loss, **arguments).fit(TRAIN, VAL)


def test_a_snapshot_is_the_detector_of_a_run_of_that_many_epochs(tmp_path):
    fit_with_validations(0.5, epochs=5, snapshot_every=2, out=tmp_path)
    kept = snapshots(tmp_path)
    assert list(kept) == [2, 4, 5]
    for epoch, path in kept.items():
        assert_same_detector(fit_with_validations(0.5, epochs=epoch), Detector.load(path))


def test_a_snapshot_is_of_its_own_epoch_also_where_an_earlier_one_was_better(tmp_path):
    best = fit_with_validations(2.0, epochs=2, snapshot_every=2, out=tmp_path)
    assert best.training["best_epoch"] == 1
    snapshot, expected = Detector.load(tmp_path / "epoch-0002.safetensors"), fit_with_validations(0.5, epochs=2)
    assert snapshot.training["best_epoch"] == expected.training["best_epoch"] == 2
    assert_same_detector(replace(expected, training={}), replace(snapshot, training={}))


def test_snapshots_do_not_change_the_run(tmp_path):
    plain = new_trainer(out=tmp_path / "plain").fit(TRAIN, VAL)
    watched = new_trainer(out=tmp_path / "watched", snapshot_every=1).fit(TRAIN, VAL)
    assert_same_detector(plain, watched)
    assert history_of(tmp_path / "plain") == history_of(tmp_path / "watched")
    assert snapshots(tmp_path / "plain") == {}


@pytest.mark.parametrize("epochs", [(3, 1), {1, 3}, range(1, 9, 2)])
def test_snapshots_of_chosen_epochs_and_of_the_last(tmp_path, epochs):
    new_trainer(out=tmp_path, snapshot_every=epochs).fit(TRAIN, VAL)
    kept = snapshots(tmp_path)
    assert list(kept) == [1, 3, 4]
    assert [Detector.load(path).training["best_epoch"] for path in kept.values()] == [1, 3, 4]


@pytest.mark.parametrize(("factor", "expected"), [(0.5, [2, 4]), (2.0, [])])  # each epoch is the best, or the first
def test_snapshots_of_epochs_that_are_the_best_until_then(tmp_path, factor, expected):
    fit_with_validations(factor, epochs=5, snapshot_best=(2, 4), out=tmp_path)
    assert list(snapshots(tmp_path)) == expected


def test_both_kinds_of_snapshots_go_together(tmp_path):
    fit_with_validations(2.0, epochs=5, snapshot_every=(2,), snapshot_best=(1, 3), out=tmp_path)
    assert list(snapshots(tmp_path)) == [1, 2, 5]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({"snapshot_every": 1}, [1, 2, 3, 4]), ({"snapshot_every": {2}, "snapshot_best": (1,)}, [1, 2, 4])],
)
def test_a_resumed_run_leaves_the_same_snapshots(tmp_path, arguments, expected):
    new_trainer(out=tmp_path / "whole", **arguments).fit(TRAIN, VAL)
    with interrupted(15, Interrupted), pytest.raises(Interrupted):  # in the third epoch
        new_trainer(out=tmp_path / "parts", **arguments).fit(TRAIN, VAL)
    assert list(snapshots(tmp_path / "parts")) == [1, 2]
    new_trainer(out=tmp_path / "parts", **arguments).fit(TRAIN, VAL, resume=True)
    whole, parts = snapshots(tmp_path / "whole"), snapshots(tmp_path / "parts")
    assert list(whole) == list(parts) == expected
    for epoch in whole:
        assert_same_detector(Detector.load(whole[epoch]), Detector.load(parts[epoch]))


@pytest.mark.parametrize(("call", "epochs"), [(20, [1, 2]), (22, [])])  # the last batch before a restart, and the next
def test_snapshots_of_a_dead_start_go_with_it(call, epochs, tmp_path):
    with interrupted(call, Interrupted), pytest.raises(Interrupted):
        new_trainer(dead_model(), out=tmp_path, snapshot_every=1).fit(TRAIN, VAL)
    assert list(snapshots(tmp_path)) == epochs
    new_trainer(dead_model(), out=tmp_path, snapshot_every=1).fit(TRAIN, VAL, resume=True)
    kept = snapshots(tmp_path)
    assert list(kept) == [1, 2, 3, 4]
    assert {Detector.load(path).training["attempt"] for path in kept.values()} == {2}


def test_a_new_run_never_leaves_the_snapshots_of_an_old_one(tmp_path):
    new_trainer(epochs=3, out=tmp_path, snapshot_every=1).fit(TRAIN, VAL)
    new_trainer(epochs=2, out=tmp_path, snapshot_every=2, seed=7).fit(TRAIN, VAL)
    kept = snapshots(tmp_path)
    assert list(kept) == [2]
    assert Detector.load(kept[2]).training["seed"] == 7
