"""Fixtures of the tests of the experiments: small finished runs, a folder of records, and images of two classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcon_ext.data import DataSet, LabelledImages
from gradcon_ext.reproduce import splits
from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.records import Records
from gradcon_ext.reproduce.training import DETECTOR
from gradcon_ext.training.trainer import Trainer
from support.threads import torch_threads


@pytest.fixture
def one_thread():
    """As many as a run of many has."""
    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def digits_runs(tmp_path_factory) -> Path:
    """The folder of finished runs of every recipe on the zeros of the digits, seed 0, two epochs; to be read only."""
    runs = tmp_path_factory.mktemp("digits") / "runs"
    with torch_threads(1):
        for model in RECIPES:
            run = Experiment("digits", model, "0", 0).run(2, runs, None)
            trainer = Trainer(run.model, out=run.out, progress=False, **run.trainer)
            trainer.fit(*run.images()).save(runs / run.name / DETECTOR)
    return runs


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "records")


@pytest.fixture
def two_classes(monkeypatch) -> DataSet:
    """Takes the place of every named data set: 28x28 images of one grey value each, of the classes Cat and Dog."""
    greys = np.arange(200, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (200, 1, 28, 28)).copy()
    labels = np.random.default_rng(0).permutation(200) % 2
    train, test = (LabelledImages(images[part], labels[part]) for part in (slice(120), slice(120, 200)))
    data = DataSet(train, test, ("Cat", "Dog"))
    monkeypatch.setattr(splits, "data_set", lambda dataset, data_root: data)
    return data
