from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from gradcon_ext.cli import main
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce import training
from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.measuring import measure_on
from gradcon_ext.reproduce.records import Record
from gradcon_ext.reproduce.training import DETECTOR, record_missing, train_missing, trained_epochs
from gradcon_ext.reproduce.variants import AVERAGED, PUBLISHED, RENEWED, published_checkpoint
from gradcon_ext.training.run_folder import last_attempt, snapshots
from gradcon_ext.training.trainer import Trainer
from support.training_runs import Interrupted, assert_same_detector, interrupted

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = Experiment("digits", "cae", "0", 0)
CONSTRAINED = replace(PLAIN, model="cae-grad")
VARIATIONAL = Experiment("digits", "vae-grad", "7", 1)


@pytest.fixture
def runs(digits_runs, tmp_path):
    """Finished runs, for a test to do with as it likes."""
    return shutil.copytree(digits_runs, tmp_path / "runs")


@pytest.fixture
def in_this_process(monkeypatch):
    """Trains without workers, for which a test would wait; returns the names of the runs."""
    names = []

    def train_here(runs, *, device, resume, progress, finished, cluster):
        assert cluster is None
        for run in runs:
            trainer = Trainer(run.model, device=device, out=run.out, progress=progress, **run.trainer)
            finished(run, trainer.fit(*run.images(), resume=resume))
            names.append(run.name)

    monkeypatch.setattr(training, "train_many", train_here)
    return names


def train(experiments, runs, epochs=2):
    finished = []
    train_missing(
        experiments,
        epochs=epochs,
        runs=runs,
        data_root=None,
        device="cpu",
        progress=False,
        finished=lambda each: finished.append((each, trained_epochs(each, runs))),
    )
    return finished


def record(experiments, records, runs, epochs=2):
    record_missing(experiments, records, epochs=epochs, runs=runs, data_root=None, progress=False)


def detector_of(experiment, runs):
    return Detector.load(runs / experiment.name / DETECTOR)


def by_command(out, *options):
    assert (
        main(
            [
                "train",
                "--dataset",
                "digits",
                "--out",
                str(out),
                "--quiet",
                "--score",
                "gradcon",
                "--batch-size",
                "64",
                *options,
            ]
        )
        == 0
    )
    detector = Detector.load(out / DETECTOR)
    assert detector.training.pop("score") == "gradcon"
    return detector


def test_a_run_is_that_of_the_command_line(tmp_path):
    train([VARIATIONAL], tmp_path / "runs")
    words = ("--inlier", "7", "--seed", "1", "--model", "vae", "--epochs", "2")
    assert_same_detector(by_command(tmp_path / "train", *words), detector_of(VARIATIONAL, tmp_path / "runs"))


def test_only_what_is_missing_is_trained(runs, in_this_process):
    (runs / CONSTRAINED.name / DETECTOR).unlink()
    before = {path: path.stat().st_mtime_ns for path in (runs / PLAIN.name).iterdir()}
    assert train([PLAIN, CONSTRAINED], runs) == [(CONSTRAINED, 2)]  # whose detector was there by then
    assert in_this_process == [CONSTRAINED.name]
    assert {path: path.stat().st_mtime_ns for path in (runs / PLAIN.name).iterdir()} == before
    train([PLAIN, CONSTRAINED], runs, epochs=1)
    assert in_this_process == [CONSTRAINED.name]


def test_runs_go_on_for_more_epochs_and_after_an_interruption(runs, in_this_process, tmp_path):
    expected = by_command(tmp_path / "train", "--inlier", "0", "--alpha", "0", "--epochs", "3")
    train([PLAIN], runs, epochs=3)
    assert_same_detector(expected, detector_of(PLAIN, runs))

    with interrupted(5, Interrupted), pytest.raises(Interrupted):
        train([VARIATIONAL], runs, epochs=3)
    assert trained_epochs(VARIATIONAL, runs) == 0
    history = runs / VARIATIONAL.name / "history.jsonl"
    begun = history.read_text()
    assert begun.count("\n") == 1
    train([VARIATIONAL], runs, epochs=3)
    assert trained_epochs(VARIATIONAL, runs) == 3
    assert history.read_text().startswith(begun)
    assert in_this_process == [PLAIN.name, VARIATIONAL.name]


def test_a_damaged_detector_is_named(runs):
    path = runs / PLAIN.name / DETECTOR
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{path} .*damaged"):
        train([PLAIN], runs)


@pytest.mark.parametrize("model", ["cae-grad", "vae"])
def test_every_detector_of_a_run_is_on_record(digits_runs, records, model):
    experiment = replace(PLAIN, model=model)
    record([experiment], records, digits_runs)
    found = records.get(experiment.name)
    best = detector_of(experiment, digits_runs)
    assert (found.epochs, found.best_epoch) == (2, best.training["best_epoch"])
    assert found.metrics == pytest.approx(measure_on("digits", "0", 0, None)(best), abs=1e-6)
    assert found.variants[AVERAGED] == found.by_epoch[2]  # the one snapshot of the second half
    by_epoch = dict(found.by_epoch)
    for epoch, path in snapshots(digits_runs / experiment.name).items():
        assert found.by_epoch.pop(epoch) == pytest.approx(
            measure_on("digits", "0", 0, None)(Detector.load(path)), abs=1e-6
        )
    assert found.by_epoch == {}
    assert found.variants.keys() == {AVERAGED, RENEWED, PUBLISHED}
    tested = published_checkpoint(last_attempt(digits_runs / experiment.name), 2)
    assert found.variants[PUBLISHED] == by_epoch[tested]
    assert all(metrics.keys() == found.metrics.keys() for metrics in found.variants.values())
    assert found.variants[RENEWED]["reconstruction"] == found.metrics["reconstruction"]
    assert found.seconds > 0


def test_what_is_on_record_is_not_measured_again(digits_runs, records):
    kept = Record(2, 1, {"combined": 0.5})
    records.put(PLAIN.name, kept)
    records.put(CONSTRAINED.name, replace(kept, epochs=1))
    record([PLAIN, CONSTRAINED], records, digits_runs)
    assert records.get(PLAIN.name) == kept
    assert records.get(CONSTRAINED.name).epochs == 2


def test_a_run_that_was_interrupted_later_ends_where_it_is(runs, in_this_process):
    (runs / CONSTRAINED.name / DETECTOR).unlink()
    train([CONSTRAINED], runs, epochs=1)
    assert trained_epochs(CONSTRAINED, runs) == 2


def test_snapshots_of_a_longer_training_do_not_count(runs, records):
    folder = runs / CONSTRAINED.name
    shutil.copy(folder / "epoch-0002.safetensors", folder / "epoch-0003.safetensors")
    record([CONSTRAINED], records, runs)
    assert list(records.get(CONSTRAINED.name).by_epoch) == [1, 2]


def test_what_was_kept_for_the_published_code_alone_is_not_spread_over_the_epochs(runs, records, monkeypatch):
    monkeypatch.setitem(RECIPES, "cae-grad", replace(RECIPES["cae-grad"], snapshots=lambda epochs: [2]))
    record([CONSTRAINED], records, runs)  # of epochs 1 and 2, of which the published code would keep both
    assert list(records.get(CONSTRAINED.name).by_epoch) == [2]


def test_a_checkpoint_that_was_not_kept_is_not_measured(runs, records, monkeypatch):
    monkeypatch.setattr(training, "published_checkpoint", lambda attempt, epochs: 7)
    record([CONSTRAINED], records, runs)
    assert records.get(CONSTRAINED.name).variants.keys() == {AVERAGED, RENEWED}
