from __future__ import annotations

import os

import pytest
import torch

from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.lock import FolderInUse
from gradcon_ext.storage.tensor_file import read_tensors
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
    record_batches,
)

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
    with pytest.raises(ValueError, match="5 epochs.* epochs=4"):
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
        ({}, 1 - TRAIN, "other training images"),
        ({}, TRAIN.flip(0), "other training images"),
    ],
)
def test_resuming_with_other_settings_is_an_error(arguments, images, name, tmp_path):
    new_trainer(epochs=1, out=tmp_path).fit(TRAIN, VAL)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"checkpoint.* {name}( = |, or )"):
        new_trainer(**arguments, out=tmp_path).fit(images, VAL, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_settings_are_compared_as_the_checkpoint_holds_them(tmp_path):
    facts = {"data": {"size": (8, 8), 3: None}}
    first = new_trainer(epochs=1, out=tmp_path, **facts).fit(TRAIN, VAL)
    resumed = new_trainer(epochs=1, out=tmp_path, **facts).fit(TRAIN, VAL, resume=True)
    assert_same_detector(first, resumed)
    assert resumed.training["data"] == {"size": [8, 8], "3": None}


def test_resuming_needs_a_folder():
    with pytest.raises(ValueError, match="resume=True .*folder"):
        new_trainer().fit(TRAIN, VAL, resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_with_other_files_is_for_those_who_ask(resume, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.txt.*overwrite"):
        new_trainer(epochs=1, out=tmp_path).fit(TRAIN, VAL, resume=resume)
    assert os.listdir(tmp_path) == ["notes.txt"]
    new_trainer(epochs=1, out=tmp_path, overwrite=True).fit(TRAIN, VAL, resume=resume)
    new_trainer(epochs=2, out=tmp_path).fit(TRAIN, VAL, resume=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_has_one_run_at_a_time(tmp_path):
    first = new_trainer(out=tmp_path).steps(TRAIN, VAL)
    next(first)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    for arguments in ({}, {"overwrite": True}):
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} on .* since"):
            new_trainer(seed=3, out=tmp_path, **arguments).fit(TRAIN, VAL)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    first.close()
    new_trainer(epochs=1, out=tmp_path).fit(TRAIN, VAL)


def test_a_run_gives_its_folder_back_before_its_detector(tmp_path):
    steps = new_trainer(epochs=1, out=tmp_path).steps(TRAIN, VAL)
    assert any(isinstance(step, Detector) for step in steps)
    steps = new_trainer(epochs=1, out=tmp_path).steps(TRAIN, VAL)
    while not isinstance(next(steps), Detector):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


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
