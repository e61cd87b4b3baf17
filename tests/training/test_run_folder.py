from __future__ import annotations

import json
import os

import pytest
import torch

from gradcon_ext.detector.detector import Detector
from gradcon_ext.storage.files import replace_file
from gradcon_ext.storage.lock import FolderInUse
from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.run_folder import RunFolder, last_attempt, run_folder, snapshots


def new_state():
    model = torch.nn.Linear(2, 2)
    constraint = GradientConstraint({"weight": model.weight})
    return TrainingState(model, constraint, torch.optim.Adam(model.parameters()), seed=0)


def new_detector(count=1):
    model = torch.nn.Linear(2, 2)
    return Detector(model, {"weight": torch.zeros_like(model.weight)}, count)


def test_a_run_is_kept_in_two_files(tmp_path):
    state, other = new_state(), new_state()
    state.epoch, state.history = 3, [{"epoch": 1, "best": True}, {"event": "restart"}]
    state.constraint.count = 9
    state.best = state.kept(0.5, 0.5)  # of every run that has finished an epoch there is a best
    with run_folder(tmp_path / "runs" / "first", {}) as folder:
        folder.save(state)
    assert sorted(os.listdir(tmp_path / "runs" / "first")) == ["checkpoint.safetensors", "history.jsonl"]
    lines = (tmp_path / "runs" / "first" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == state.history
    folder.load(other)
    assert (other.epoch, other.history) == (state.epoch, state.history)
    assert torch.equal(other.model.weight, state.model.weight)


def test_the_last_attempt_is_read_from_the_history(tmp_path):
    first, second = ([{"epoch": epoch, "attempt": attempt} for epoch in (1, 2)] for attempt in (1, 2))
    restart = {"event": "restart", "epoch": 2, "attempt": 1}
    path = tmp_path / "history.jsonl"
    for history, expected in ((first, first), ([*first, restart, *second], second), ([], [])):
        path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
        assert last_attempt(tmp_path) == expected


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    left = [
        ".checkpoint.gradcon-partial-0123abcd.safetensors",
        ".history.gradcon-partial-89ef4567.jsonl",
        ".epoch-0010.gradcon-partial-0123abcd.safetensors",
        ".epoch-12345.gradcon-partial-89ef4567.safetensors",
    ]
    kept = [".detector.gradcon-partial-0123abcd.safetensors", ".history.jsonl", ".checkpoint.0123abcd.safetensors"]
    for name in left + kept:
        (tmp_path / name).write_bytes(b"half")
    with run_folder(tmp_path, {}):
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, ".lock", ".lock.json"])
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_temporary_files_have_the_names_that_are_removed(tmp_path):
    for name in ("checkpoint.safetensors", "history.jsonl", "epoch-0001.safetensors"):
        with replace_file(tmp_path / name) as temporary:
            temporary.write_text("half")
            with run_folder(tmp_path, {}, overwrite=True):
                assert not temporary.exists()
            temporary.write_text("whole")
        (tmp_path / name).unlink()


def test_a_live_run_keeps_its_temporary_files(tmp_path):
    with run_folder(tmp_path, {}), replace_file(tmp_path / "checkpoint.safetensors") as temporary:
        temporary.write_text("half")
        with pytest.raises(FolderInUse), run_folder(tmp_path, {}, overwrite=True):
            pass
        assert temporary.read_text() == "half"


def test_the_history_may_go_ahead_of_the_checkpoint(tmp_path):
    folder = RunFolder(tmp_path, {})
    state = new_state()
    state.history.append({"epoch": 1})
    folder.save_history(state)
    assert os.listdir(tmp_path) == ["history.jsonl"]


def test_snapshots_are_found_by_epoch(tmp_path):
    folder = RunFolder(tmp_path, {})
    for epoch in (12345, 2, 9999, 10):
        folder.save_snapshot(new_detector(count=epoch), epoch)
    for name in ("epoch-best.safetensors", "epoch-0003.csv", ".epoch-0004.0123abcd.safetensors", "epoch-7.safetensors"):
        (tmp_path / name).write_bytes(b"another's")
    found = snapshots(tmp_path)
    assert [*found] == [2, 10, 9999, 12345]
    assert found[10] == tmp_path / "epoch-0010.safetensors"
    assert [Detector.load(path, torch.nn.Linear(2, 2)).count for path in found.values()] == [*found]
    assert snapshots(tmp_path / "nothing") == {}


def test_snapshots_of_epochs_that_are_not_reached_do_not_stay(tmp_path):
    folder, state = RunFolder(tmp_path, {}), new_state()
    for epoch in (1, 2, 3):
        folder.save_snapshot(new_detector(), epoch)
    (tmp_path / "epoch-best.safetensors").write_bytes(b"another's")
    state.epoch = 2
    folder.save(state)
    assert [*snapshots(tmp_path)] == [1, 2]
    state.epoch = 0
    folder.save(state)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "epoch-best.safetensors", "history.jsonl"]


def test_an_empty_folder_holds_no_run_to_load(tmp_path):
    state = new_state()
    RunFolder(tmp_path, {}).load(state)
    assert state.epoch == 0


def test_without_a_path_nothing_is_kept():
    folder = RunFolder(None, {})
    state = new_state()
    folder.save(state)
    folder.save_history(state)
    folder.save_snapshot(new_detector(), 1)
    folder.load(state)
    assert state.epoch == 0
