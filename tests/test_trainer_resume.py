from __future__ import annotations

import os

import pytest
import torch
from training_runs import (
    TRAIN,
    VAL,
    Interrupted,
    assert_same_detector,
    dead_model,
    history_of,
    interrupted,
    new_model,
    new_trainer,
    record_batches,
)

from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.tensorfile import read_tensors

MODELS = (ConvAutoencoder, ConvVariationalAutoencoder)


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize(
    ("call", "exception"),  # an epoch is 5 training passes and 2 of validation
    [(3, KeyboardInterrupt), (7, Interrupted), (12, Interrupted), (24, KeyboardInterrupt)],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(model_type, exception, call, tmp_path):
    whole = new_trainer(new_model(model_type), out=tmp_path / "whole").fit(TRAIN, VAL)

    model = new_model(model_type)
    with interrupted(call, exception), pytest.raises(exception):
        new_trainer(model, out=tmp_path / "parts").fit(TRAIN, VAL)
    assert len(history_of(tmp_path / "parts")) == call // 7
    other_start = new_model(model_type, seed=5)
    resumed = new_trainer(other_start, out=tmp_path / "parts").fit(TRAIN, VAL, resume=True)

    assert_same_detector(whole, resumed)
    assert history_of(tmp_path / "whole") == history_of(tmp_path / "parts")
    states = [read_tensors(tmp_path / run / "checkpoint.safetensors", "checkpoint", 1) for run in ("whole", "parts")]
    assert states[0][0].keys() == states[1][0].keys()
    assert all(torch.equal(tensor, states[1][0][name]) for name, tensor in states[0][0].items())


def test_a_finished_run_is_resumed_without_another_step(tmp_path):
    first = new_trainer(out=tmp_path).fit(TRAIN, VAL)
    model = new_model(seed=3)
    batches = record_batches(model)
    assert_same_detector(first, new_trainer(model, out=tmp_path).fit(TRAIN, VAL, resume=True))
    assert batches == []


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    new_trainer(epochs=3, out=tmp_path).fit(TRAIN, VAL)
    longer = new_trainer(epochs=5, out=tmp_path).fit(TRAIN, VAL, resume=True)
    assert_same_detector(new_trainer(epochs=5).fit(TRAIN, VAL), longer)
    with pytest.raises(ValueError, match="has 5 epochs already; expected at most epochs=4"):
        new_trainer(epochs=4, out=tmp_path).fit(TRAIN, VAL, resume=True)


def test_resuming_where_nothing_is_starts_from_the_beginning(tmp_path):
    resumed = new_trainer(out=tmp_path / "new").fit(TRAIN, VAL, resume=True)
    assert_same_detector(new_trainer().fit(TRAIN, VAL), resumed)


def test_a_new_run_never_leaves_the_checkpoint_of_an_old_one(tmp_path):
    new_trainer(out=tmp_path).fit(TRAIN, VAL)
    model = new_model()
    with interrupted(2, Interrupted), pytest.raises(Interrupted):
        new_trainer(model, out=tmp_path, seed=7).fit(TRAIN, VAL)
    resumed = new_trainer(new_model(), out=tmp_path, seed=7).fit(TRAIN, VAL, resume=True)
    assert_same_detector(new_trainer(seed=7).fit(TRAIN, VAL), resumed)


@pytest.mark.parametrize(
    ("arguments", "images", "name"),
    [
        ({"alpha": 0.05}, TRAIN, "alpha"),
        ({"lr": 0.01}, TRAIN, "lr"),
        ({"batch_size": 9}, TRAIN, "batch_size"),
        ({"seed": 1}, TRAIN, "seed"),
        ({"average": "primal"}, TRAIN, "average"),
        ({"layers": ["decoder.0.weight"]}, TRAIN, "layers"),
        ({"loss": lambda output, images: squared_error(output, images)}, TRAIN, "loss"),
        ({"model": new_model(width=3)}, TRAIN, "model"),
        ({"model": new_model().double()}, TRAIN, "dtype"),
        ({}, TRAIN[:39], "train_images"),
    ],
)
def test_resuming_with_other_settings_is_an_error(arguments, images, name, tmp_path):
    new_trainer(epochs=1, out=tmp_path).fit(TRAIN, VAL)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"is of a run with {name} = "):
        new_trainer(**arguments, out=tmp_path).fit(images, VAL, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_settings_are_compared_as_the_checkpoint_holds_them(tmp_path):
    facts = {"data": {"size": (8, 8), 3: None}}
    first = new_trainer(epochs=1, out=tmp_path, **facts).fit(TRAIN, VAL)
    resumed = new_trainer(epochs=1, out=tmp_path, **facts).fit(TRAIN, VAL, resume=True)
    assert_same_detector(first, resumed)
    assert resumed.training["data"] == {"size": [8, 8], "3": None}


def test_resuming_needs_a_folder():
    with pytest.raises(ValueError, match="resume=True needs a folder"):
        new_trainer().fit(TRAIN, VAL, resume=True)


def test_a_run_leaves_two_files(tmp_path):
    new_trainer(out=tmp_path / "runs" / "first", epochs=1).fit(TRAIN, VAL)
    assert sorted(os.listdir(tmp_path / "runs" / "first")) == ["checkpoint.safetensors", "history.jsonl"]


@pytest.mark.parametrize("call", [20, 21, 30])  # the last pass of the first attempt, and two of the second
def test_a_restarted_run_is_resumed_as_if_it_had_not_been_interrupted(call, tmp_path):
    whole = new_trainer(dead_model(), out=tmp_path / "whole").fit(TRAIN, VAL)
    model = dead_model()
    with interrupted(call, Interrupted), pytest.raises(Interrupted):
        new_trainer(model, out=tmp_path / "parts").fit(TRAIN, VAL)
    resumed = new_trainer(model, out=tmp_path / "parts").fit(TRAIN, VAL, resume=True)
    assert_same_detector(whole, resumed)
    assert history_of(tmp_path / "whole") == history_of(tmp_path / "parts")
