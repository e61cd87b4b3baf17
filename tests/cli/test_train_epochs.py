"""How many epochs `gradcon train` goes on for, and what it says of them."""

from __future__ import annotations

import json

import pytest

from gradcon_ext.detector.detector import Detector
from gradcon_ext.training.run_contents import CONFIG
from gradcon_ext.training.trainer import Trainer
from support.training_runs import interrupted


def test_going_on_takes_as_many_epochs_as_the_run_was_to_have(gradcon, tmp_path):
    words = ["train", "--dataset", "digits", "--inlier", "2", "--width", "4", "--out", tmp_path / "run"]
    with interrupted(5, KeyboardInterrupt):
        assert gradcon(*words, "--epochs", "3").code == 130
    assert not (tmp_path / "run" / "detector.safetensors").exists()
    # Refused, so that it changes nothing.
    assert gradcon(*words, "--resume", "--epochs", "9", "--lr", "1").code == 1
    assert gradcon(*words, "--resume").code == 0
    assert Detector.load(tmp_path / "run" / "detector.safetensors").training["epochs"] == 3
    assert gradcon(*words, "--resume", "--epochs", "4").code == 0
    assert gradcon(*words, "--resume").code == 0
    assert Detector.load(tmp_path / "run" / "detector.safetensors").training["epochs"] == 4


def test_a_checkpoint_that_does_not_say_how_many(gradcon, digits_run, monkeypatch):
    (digits_run / CONFIG).unlink()  # as of a run that an earlier version trained
    monkeypatch.setattr("gradcon_ext.cli.resumed_run.planned_epochs", lambda path: None)
    result = gradcon("train", "--dataset", "digits", "--inlier", "2", "--resume", "--out", digits_run)
    assert (result.code, result.error.rpartition(": ")[2]) == (1, "give --epochs")


@pytest.mark.parametrize(("best_epoch", "said"), [(1, False), (2, True)])
def test_a_last_epoch_that_is_the_best_is_pointed_out(train_digits, tmp_path, monkeypatch, best_epoch, said):
    fit = Trainer.fit

    def fit_as_if(self, *arguments):
        detector = fit(self, *arguments)
        detector.training["best_epoch"] = best_epoch
        return detector

    monkeypatch.setattr(Trainer, "fit", fit_as_if)
    line = "The last epoch was the best: more epochs may help, by --resume --epochs N.\n"
    assert (line in train_digits(tmp_path).out) is said


@pytest.mark.parametrize("share", [0.5, 1, 2])
def test_poor_reconstructions_are_warned_of(train_digits, tmp_path, monkeypatch, share):
    fit = Trainer.fit

    def fit_as_if(self, *arguments):
        detector = fit(self, *arguments)
        history = [json.loads(line) for line in (self.out / "history.jsonl").read_text().splitlines()]
        kept = history[detector.training["best_epoch"] - 1]
        kept["validation_reconstruction"] = share * kept["validation_mean_image"]
        (self.out / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
        return detector

    monkeypatch.setattr(Trainer, "fit", fit_as_if)
    warned = "Warning: the reconstructions are no better than the mean image" in train_digits(tmp_path).out
    assert warned is (share >= 1)
