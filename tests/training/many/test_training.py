from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gradcon_ext.models import ConvVariationalAutoencoder
from gradcon_ext.storage.lock import FolderInUse, locked
from gradcon_ext.training.many import RunsFailed, train_many
from support.many_runs import IMAGES, Dying, Stubborn, blank_model, fit, load_images, new_run
from support.threads import torch_threads
from support.training_runs import (
    Interrupted,
    assert_same_detector,
    dead_model,
    history_of,
    interrupted,
    new_model,
    new_trainer,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """As many as a worker has."""
    with torch_threads(1):
        yield


def test_the_detectors_are_those_of_single_trainings(tmp_path, capfd):
    runs = [
        new_run("plain", out=tmp_path / "plain"),
        new_run("other seed", seed=3, alpha=0.1),
        new_run("variational", new_model(ConvVariationalAutoencoder), tuple(part.numpy() for part in IMAGES)),
        new_run("loaded", images=load_images, data={"from": "a function"}),
    ]
    before = [parameter.clone() for run in runs for parameter in run.model.parameters()]
    finished = {}
    detectors = train_many(runs, at_once=2, finished=lambda run, detector: finished.update({run.name: detector}))
    for run, detector in zip(runs, detectors, strict=True):
        assert_same_detector(fit(run), detector)
        assert finished[run.name] is detector
    after = [parameter for run in runs for parameter in run.model.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    assert len(history_of(tmp_path / "plain")) == 3
    assert multiprocessing.active_children() == []

    shown = capfd.readouterr().err
    assert "4/4 runs" in shown
    assert "432/432" in shown  # 3 epochs of 40, 40, 40 and 24 images
    assert "images/s" in shown


def test_a_run_whose_folder_another_run_is_at_work_in(tmp_path):
    runs = [new_run("taken", out=tmp_path / "taken"), new_run("good", out=tmp_path / "good")]
    with locked(tmp_path / "taken"), pytest.raises(RunsFailed, match="1 of 2") as failed:
        train_many(runs, at_once=2, progress=False)
    assert isinstance(failed.value.errors["taken"], FolderInUse)
    assert f"process {os.getpid()} " in str(failed.value.errors["taken"])
    assert not (tmp_path / "taken" / "history.jsonl").exists()
    assert_same_detector(fit(runs[1]), failed.value.detectors["good"])


def test_a_run_that_fails_does_not_lose_the_others(capfd):
    runs = [
        new_run("killed", Dying(1, 8, 4)),
        new_run("stubborn", Stubborn(1, 8, 4)),
        new_run("good"),
        new_run("not a number", blank_model()),
        new_run("wrong", loudness=11),
        new_run("dead", dead_model()),
    ]
    with pytest.raises(RunsFailed, match="4 of 6 .*\nkilled: WorkerDied: .*SIGKILL\n") as failed:
        train_many(runs, at_once=1, progress=False)
    errors = failed.value.errors
    assert str(errors["stubborn"]) == "Refused: I would rather not"
    assert re.search("nan.* epoch 1, step 1", str(errors["not a number"]))
    assert isinstance(errors["wrong"], TypeError)
    assert "epoch.py" in str(errors["not a number"].__cause__)
    assert failed.value.detectors.keys() == {"good", "dead"}
    assert_same_detector(fit(runs[2]), failed.value.detectors["good"])
    said = capfd.readouterr().err
    assert re.match("dead: .*seed 0: ", said)
    assert said.count("\n") == 1


def test_runs_go_on_from_their_folders(tmp_path):
    new_trainer(epochs=3, out=tmp_path / "finished").fit(*IMAGES)
    finished = (tmp_path / "finished" / "history.jsonl").read_text()
    with interrupted(10, Interrupted), pytest.raises(Interrupted):
        new_trainer(epochs=3, seed=1, out=tmp_path / "begun").fit(*IMAGES)
    runs = [
        new_run("finished", out=tmp_path / "finished"),
        new_run("begun", seed=1, out=tmp_path / "begun"),
        new_run("new", seed=2, out=tmp_path / "new"),
    ]
    for run, detector in zip(runs, train_many(runs, at_once=1, resume=True, progress=False), strict=True):
        assert_same_detector(fit(run), detector)
    assert (tmp_path / "finished" / "history.jsonl").read_text() == finished


LONG = 300  # Seconds, after which a process hangs: others on the machine may slow it.
INTERRUPTED = """
import signal
import sys
from support.many_runs import new_run
from gradcon_ext.training.many import train_many

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the background jobs of a shell begin without
    train_many([new_run(str(seed), out=f"{sys.argv[1]}/{seed}", seed=seed, epochs=10**6) for seed in (0, 1)], at_once=2)
"""


def processes_of(group):
    """Processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(folder.name)
    return found


def test_an_interruption_ends_all_runs_at_once_and_they_can_be_resumed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    histories = [tmp_path / seed / "history.jsonl" for seed in "01"]
    deadline = time.monotonic() + LONG
    while not all(history.exists() and history.read_text() for history in histories):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    error = process.communicate(timeout=LONG)[1]
    assert process.returncode != 0
    deadline = time.monotonic() + LONG
    assert error.count("KeyboardInterrupt") == 1
    while processes_of(process.pid):  # multiprocessing has one that ends after its parent
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for seed in range(2):
        folder = tmp_path / str(seed)
        epochs = len(history_of(folder)) + 1
        resumed = new_trainer(seed=seed, epochs=epochs, out=folder).fit(*IMAGES, resume=True)
        assert_same_detector(new_trainer(seed=seed, epochs=epochs).fit(*IMAGES), resumed)


def test_an_error_of_the_caller_ends_the_workers():
    def refuse(run, detector):
        raise Interrupted

    with pytest.raises(Interrupted):
        train_many([new_run("a"), new_run("b", epochs=10**6)], at_once=2, progress=False, finished=refuse)
    assert multiprocessing.active_children() == []


def test_no_runs_are_no_detectors():
    assert train_many([], progress=False) == []


def test_what_cannot_be_sent_is_named():
    with pytest.raises(TypeError, match="'closure'.* worker"):
        train_many([new_run("closure", loss=lambda output, images: None)])


@pytest.mark.parametrize(
    ("runs", "arguments", "message"),
    [
        ([], {"at_once": 0}, "at_once .* 0$"),
        ([], {"threads": 1.5}, "threads .* 1.5$"),
        ([], {"device": "gpu"}, "device 'gpu'"),
        ([new_run("a"), new_run("a")], {}, "name.* 'a'"),
        (
            [new_run("a", out="x"), new_run("b", out="./x")],
            {},
            "folder.* '.*x'",
        ),
        ([new_run("a")], {"resume": True}, "resume=True .*'a'.*`out`"),
    ],
)
def test_arguments_are_checked(runs, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_many(runs, **arguments)
