"""`train_many` on a cluster, and `gradcon reproduce`, which has it train there."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gradcon_ext.cli import main
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce import tables
from gradcon_ext.training.many import RunsFailed, train_many, training
from support.many_runs import IMAGES, DiesOnce, Stubborn, fit, load_images, new_run
from support.training_runs import assert_same_detector, history_of, new_trainer

EPOCHS = 60


@pytest.mark.parametrize("killed", ["node", "worker"])
def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bits(nodes, tmp_path, killed):
    run = new_run("killed", epochs=EPOCHS, out=tmp_path / "run")
    history = run.out / "history.jsonl"
    seen = []

    def kill_in_the_middle():
        while not history.exists() or history.read_text().count("\n") < 3:
            time.sleep(0.01)
        process = json.loads((run.out / ".lock.json").read_text())["process"]
        if killed == "node":
            nodes.kill(nodes.of_process(process))
        else:
            os.kill(process, signal.SIGKILL)
        seen.append((process, history.read_text().splitlines()))

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


def test_a_worker_that_is_killed_without_a_folder_and_what_fails(nodes, tmp_path):
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


def reproduce(out, *options):
    words = ("table1", "--classes", "0", "--seeds", "1", "--epochs", "1", "--quiet", "--out", str(out))
    assert main(["reproduce", *words, *options]) == 0
    detectors = {path.parent.relative_to(out): Detector.load(path) for path in out.rglob("detector.safetensors")}
    lines = (out / "records" / "digits.jsonl").read_text().splitlines()
    records = [{**json.loads(line), "seconds": 0} for line in lines]  # which are never the same twice
    return detectors, records, (out / "table1.md").read_text(), (out / "table1.csv").read_text()


def test_reproduced_results_are_those_of_one_machine(nodes, tmp_path, monkeypatch):
    design = tables.DESIGNS["table1"]
    monkeypatch.setitem(tables.DESIGNS, "table1", replace(design, dataset="digits", rows=design.rows[:3]))
    expected_detectors, *expected = reproduce(tmp_path / "here")
    monkeypatch.setattr(training, "in_processes", None)  # so that the cluster has to train
    detectors, *results = reproduce(tmp_path / "there", "--ray")
    assert results == expected
    assert len(results[0]) == len(detectors) == 2
    assert detectors.keys() == expected_detectors.keys()
    for name, detector in detectors.items():
        assert_same_detector(expected_detectors[name], detector)
