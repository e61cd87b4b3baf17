"""`train_many` on a cluster."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from gradcon_ext.training.many import RunsFailed, train_many
from support.many_runs import IMAGES, DiesOnce, Stubborn, fit, load_images, new_run
from support.training_runs import assert_same_detector, history_of, new_trainer

EPOCHS = 150


def test_a_run_whose_node_is_killed_ends_with_the_same_bits(nodes, tmp_path):
    run = new_run("killed", epochs=EPOCHS, out=tmp_path / "run")
    history = run.out / "history.jsonl"
    seen = []

    def kill_in_the_middle():
        while not history.exists() or history.read_text().count("\n") < 3:
            time.sleep(0.01)
        holder = json.loads((run.out / ".lock.json").read_text())
        nodes.kill(nodes.of_process(holder["process"]))
        seen.append((holder["process"], history.read_text().splitlines()))

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    (detector,) = train_many([run], cluster="ray", progress=False)
    killer.join(60)
    ((process, epochs),) = seen
    assert 3 <= len(epochs) < EPOCHS
    assert not Path("/proc", str(process)).exists()
    assert history.read_text().splitlines()[:2] == epochs[:2]  # with the seconds that they took: it did not begin anew
    assert [entry["epoch"] for entry in history_of(run.out)] == list(range(1, EPOCHS + 1))
    assert_same_detector(fit(run), detector)


def test_a_worker_that_is_killed_and_what_fails(nodes, tmp_path):
    runs = [
        new_run("killed", images=DiesOnce(tmp_path)),
        new_run("stubborn", Stubborn(1, 8, 4)),
        new_run("good"),
        new_run("wrong", loudness=11),
    ]
    finished = []
    with pytest.raises(RunsFailed, match="2 of 4") as failed:
        train_many(runs, cluster="ray", at_once=2, progress=False, finished=lambda run, _: finished.append(run.name))
    assert (tmp_path / "died").exists()
    assert sorted(finished) == ["good", "killed"]
    assert str(failed.value.errors["stubborn"]) == "Refused: I would rather not"
    assert isinstance(failed.value.errors["wrong"], TypeError)
    assert "trainer" in str(failed.value.errors["wrong"].__cause__)
    for name, run in (("killed", new_run("killed", images=load_images)), ("good", runs[2])):
        assert_same_detector(fit(run), failed.value.detectors[name])


def test_folders_of_earlier_runs(nodes, tmp_path):
    new_trainer(epochs=2, out=tmp_path / "begun").fit(*IMAGES)
    run = new_run("begun", out=tmp_path / "begun")
    with pytest.raises(ValueError, match="holds a run: .*resume=True"):
        train_many([run], cluster="ray", progress=False)
    (detector,) = train_many([run], cluster="ray", resume=True, progress=False)
    assert_same_detector(fit(run), detector)


def test_other_clusters_are_refused():
    with pytest.raises(ValueError, match="cluster must be None or \"ray\", got 'slurm'"):
        train_many([], cluster="slurm")
