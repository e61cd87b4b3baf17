"""The committed records give the committed tables and numbers, byte for byte; other figures need the trained models."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcon_ext.data.cifar10 import CIFAR10_CLASSES
from gradcon_ext.data.mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES
from gradcon_ext.reproduce import Reproduction, targets

RESULTS = Path(__file__).parents[2] / "results"
CLASSES = {
    "mnist": MNIST_CLASSES,
    "fashion-mnist": FASHION_MNIST_CLASSES,
    "fashion-mnist-one-class": FASHION_MNIST_CLASSES,
    "cifar10": CIFAR10_CLASSES,
}


@pytest.mark.parametrize(
    ("target", "seeds", "classes"),
    [
        ("table1", 2, ()),
        ("table2", 3, ()),
        ("table3", 3, ()),
        ("table4", 5, ()),
        ("study", 1, ("0", "8")),
        ("length", 1, ()),
    ],
)
def test_a_result_comes_from_the_records(monkeypatch, tmp_path, target, seeds, classes):
    monkeypatch.setattr(targets, "class_names", lambda dataset, data_root: CLASSES[dataset])
    reproduction = Reproduction(RESULTS, None, epochs=1, seeds=seeds, classes=classes, progress=False)
    for path in reproduction.build(target).save(tmp_path, target):
        if path.suffix != ".png":  # which matplotlib draws otherwise from version to version
            assert path.read_bytes() == (RESULTS / path.name).read_bytes(), path.name
