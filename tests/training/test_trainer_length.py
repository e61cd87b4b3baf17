"""How long a run is, and what it tells and keeps on the way."""

from __future__ import annotations

import json

import pytest

from gradcon_ext.detector.place import CHECKPOINT
from gradcon_ext.losses import SampleLosses, squared_error
from gradcon_ext.training.checkpoint import reached_epochs
from support.training_runs import TRAIN, VAL, assert_same_detector, history_of, new_model, new_trainer


def falling_until(best, **arguments):
    """A trainer whose validation objective falls until an epoch and rises after it, whatever it learns."""
    model, finished = new_model(), []

    def loss(output, images):
        if model.training:
            return squared_error(output, images)
        distance = abs(best - len(finished) - 1)
        return SampleLosses(*(0 * part + distance + 1 for part in squared_error(output, images)))

    return new_trainer(model, alpha=0.0, loss=loss, log=lambda _, epoch: finished.append(epoch), **arguments)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 5), (None, 6), (50, 6)])
def test_patience(patience, epochs, tmp_path):
    detector = falling_until(2, epochs=6, patience=patience, out=tmp_path, snapshot_every=50).fit(TRAIN, VAL)
    assert (detector.training["best_epoch"], detector.training["epochs"]) == (2, epochs)
    assert len(history_of(tmp_path)) == epochs == reached_epochs(tmp_path / CHECKPOINT)
    assert [path.name for path in tmp_path.glob("epoch-*")] == [f"epoch-{epochs:04d}.safetensors"]


def test_a_run_that_patience_ended_goes_on_with_more(tmp_path):
    falling_until(2, epochs=6, patience=1, out=tmp_path).fit(TRAIN, VAL)
    again = falling_until(2, epochs=6, patience=1, out=tmp_path).fit(TRAIN, VAL, resume=True)
    assert again.training["epochs"] == 3
    longer = falling_until(-2, epochs=6, out=tmp_path).fit(TRAIN, VAL, resume=True)
    assert longer.training["epochs"] == 6


@pytest.mark.parametrize("stopped", [1, 2, 3, 5])
def test_a_checkpoint_now_and_then_resumes_to_the_same_run(tmp_path, stopped):
    arguments = {"epochs": 5, "checkpoint_every": 2, "snapshot_every": 1}
    whole = new_trainer(**arguments, out=tmp_path / "whole").fit(TRAIN, VAL)
    assert reached_epochs(tmp_path / "whole" / CHECKPOINT) == 5

    def stop(metrics, step):
        if step == stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_trainer(**arguments, out=tmp_path / "parts", log=stop).fit(TRAIN, VAL)
    assert reached_epochs(tmp_path / "parts" / CHECKPOINT) == {1: 0, 2: 2, 3: 2, 5: 5}[stopped]
    assert len(history_of(tmp_path / "parts")) == stopped
    assert_same_detector(whole, new_trainer(**arguments, out=tmp_path / "parts").fit(TRAIN, VAL, resume=True))
    assert history_of(tmp_path / "whole") == history_of(tmp_path / "parts")
    assert len([*(tmp_path / "parts").glob("epoch-*")]) == 5


def test_a_log_is_told_of_every_epoch_when_it_is_safe(tmp_path):
    told = []

    def log(metrics, step):
        assert len(history_of(tmp_path)) == step == reached_epochs(tmp_path / CHECKPOINT)
        told.append(metrics)

    trainer = new_trainer(epochs=3, out=tmp_path, log=log)
    detector = trainer.fit(TRAIN, VAL)
    assert_same_detector(new_trainer(epochs=3).fit(TRAIN, VAL), detector)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(told) == 3
    for metrics, entry in zip(told, history, strict=True):
        assert {"loss", "validation_objective", "seconds", "lr", "attempt"} <= metrics.keys()
        assert all(type(value) is float for value in metrics.values())
        assert metrics["validation_objective"] == entry["validation_objective"]
        assert [metrics[f"cosine/{layer}"] for layer in detector.references] == entry["cosine"]


@pytest.mark.parametrize("name", ["patience", "checkpoint_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1"])
def test_what_is_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        new_trainer(**{name: value}).fit(TRAIN, VAL)
