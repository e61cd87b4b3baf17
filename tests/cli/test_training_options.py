from __future__ import annotations

import json
import sys

import pytest

from gradcon_ext.training.run_contents import HISTORY
from support.libraries import library


def history(run):
    entries = [json.loads(line) for line in (run / HISTORY).read_text().splitlines()]
    return [entry for entry in entries if "event" not in entry]


def test_patience_and_schedule(train_digits, gradcon, tmp_path):
    run = tmp_path / "run"
    options = ("--epochs", "40", "--patience", "1", "--schedule", "linear", "--warmup", "1", "--lr", "0.05")
    assert train_digits(run, *options, "--checkpoint-every", "7").code == 0
    entries = history(run)
    assert len(entries) < 40
    assert [entry["best"] for entry in entries[-2:]] == [True, False]
    assert "training.schedule.shape: linear" in gradcon("info", run).out


@pytest.mark.parametrize("options", [("--warmup", "-1"), ("--patience", "0"), ("--schedule", "steps"), ("--mlflow",)])
def test_bad_usage(train_digits, tmp_path, options):
    assert train_digits(tmp_path / "run", *options).code == 2


def test_a_warm_up_as_long_as_the_run(train_digits, tmp_path):
    assert "warmup=2" in train_digits(tmp_path / "run", "--schedule", "cosine", "--warmup", "2").error


def test_tensorboard(train_digits, tmp_path):
    accumulator = library("tensorboard.backend.event_processing.event_accumulator")
    assert train_digits(tmp_path / "run", "--tensorboard", tmp_path / "events").code == 0
    events = accumulator.EventAccumulator(str(tmp_path / "events")).Reload()
    told = [event.value for event in events.Scalars("validation_objective")]
    assert told == pytest.approx([entry["validation_objective"] for entry in history(tmp_path / "run")], 1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of MLflow's own database
def test_mlflow(train_digits, tmp_path, monkeypatch):
    tracking = library("mlflow.tracking")
    uri = f"sqlite:///{tmp_path}/tracked.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert train_digits(tmp_path / "run", "--mlflow", "digits").code == 0
    client = tracking.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert {"epochs": "2", "alpha": "0.03", "inlier": "2"}.items() <= run.data.params.items()
    last = history(tmp_path / "run")[-1]
    assert run.data.metrics["validation_objective"] == last["validation_objective"]


@pytest.mark.parametrize(
    ("option", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.entities")]
)
def test_a_tracker_that_is_not_installed(train_digits, tmp_path, monkeypatch, option, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert f"gradcon_ext[{option}]" in train_digits(tmp_path / "run", f"--{option}", tmp_path / "there").error
