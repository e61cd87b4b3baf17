from __future__ import annotations

import pytest

from gradcon_ext.training import trackers
from support.libraries import library
from support.training_runs import TRAIN, VAL, assert_same_detector, new_trainer

library("tensorboard")
library("mlflow")


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def fit(log, **arguments):
    told = []

    def both(metrics, step):
        told.append(metrics)
        log(metrics, step)

    return new_trainer(epochs=3, log=both, **arguments).fit(TRAIN, VAL), told


def test_tensorboard(tmp_path):
    with trackers.tensorboard(tmp_path / "events") as log:
        detector, told = fit(log)
    assert_same_detector(new_trainer(epochs=3).fit(TRAIN, VAL), detector)
    events = read_events(tmp_path / "events")
    assert events.keys() == told[0].keys()
    for name, values in events.items():
        assert values == [(step, pytest.approx(metrics[name], 1e-6)) for step, metrics in enumerate(told, 1)]


def test_tensorboard_of_a_resumed_run_has_each_epoch_once(tmp_path):
    for steps in (range(1, 4), range(3, 6)):
        with trackers.tensorboard(tmp_path) as log:
            for step in steps:
                log({"loss": 10 * step + len(steps)}, step)
    assert [step for step, _ in read_events(tmp_path)["loss"]] == [1, 2, 3, 4, 5]


def test_tensorboard_writes_nothing_where_nothing_is_told(tmp_path):
    with trackers.tensorboard(tmp_path / "events"):
        pass
    assert not (tmp_path / "events").exists()


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path}/tracked.db"


def runs_of(uri):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    return client, client.search_runs([client.get_experiment_by_name("tiles").experiment_id])


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own database
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mlflow(uri):
    with trackers.mlflow("tiles", {"alpha": 0.03}, "first", uri) as log:
        detector, told = fit(log)
    assert_same_detector(new_trainer(epochs=3).fit(TRAIN, VAL), detector)
    client, (run,) = runs_of(uri)
    assert (run.info.status, run.info.run_name, run.data.params) == ("FINISHED", "first", {"alpha": "0.03"})
    assert run.data.metrics.keys() == told[0].keys()
    for name in told[0]:
        history = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        assert history == [(step, metrics[name]) for step, metrics in enumerate(told, 1)]

    for error, status in {KeyboardInterrupt: "KILLED", ValueError: "FAILED"}.items():
        with pytest.raises(error), trackers.mlflow("tiles", uri=uri) as log:
            log({"loss of [this]": 1.0}, 1)
            raise error
        last = runs_of(uri)[1][0]
        assert last.info.status == status
        assert last.data.metrics == {"loss of _this_": 1.0}
