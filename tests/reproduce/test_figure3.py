from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce import figure3 as module
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure3 import alignments_of, cosines_of_training, figure3
from gradcon_ext.reproduce.training import DETECTOR
from gradcon_ext.training.run_folder import snapshots

EXPERIMENT = Experiment("digits", "vae-grad", "0", 0)


def unit_gradients(detector, images):
    """Gradients (N, ...) of each layer, of length 1, one image after the other."""
    weights = [detector.model.get_parameter(name) for name in detector.references]
    rows = []
    for image in torch.from_numpy(images).float().split(1):
        pixels = image / 255
        loss = detector.model.loss(detector.model(pixels), pixels).total.sum()
        rows.append(torch.autograd.grad(loss, weights))
    return [nn.functional.normalize(torch.stack(layer).flatten(1).double()) for layer in zip(*rows, strict=True)]


def test_alignments_are_means_over_all_pairs(digits_runs):
    split = one_class_split(read_digits(), "0", seed=0)
    detector = Detector.load(digits_runs / EXPERIMENT.name / DETECTOR)
    inliers = unit_gradients(detector, split.test[~split.test_is_outlier])
    outliers = unit_gradients(detector, split.test[split.test_is_outlier])
    learned = [(layer @ layer.T).fill_diagonal_(0).sum(1) / (len(layer) - 1) for layer in inliers]
    missing = [(ours @ theirs.T).mean(1) for ours, theirs in zip(inliers, outliers, strict=True)]
    found = alignments_of(EXPERIMENT, digits_runs, None)
    np.testing.assert_allclose(found.learned, torch.stack(learned).mean(0), atol=1e-5)
    np.testing.assert_allclose(found.missing, torch.stack(missing).mean(0), atol=1e-5)


def test_only_the_last_attempt_is_drawn(tmp_path):
    entries = [
        {"epoch": 1, "attempt": 1, "cosine": [0.1, 0.1]},
        {"event": "restart", "epoch": 1, "attempt": 1},
        {"epoch": 1, "attempt": 2, "cosine": [0.2, 0.3]},
        {"epoch": 2, "attempt": 2, "cosine": [0.4, 0.5]},
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert cosines_of_training(tmp_path).tolist() == [[0.2, 0.3], [0.4, 0.5]]


def test_both_models_are_drawn(digits_runs, monkeypatch):
    monkeypatch.setattr(module, "DATASET", "digits")
    figure = figure3("0", digits_runs, None)
    inliers = (~one_class_split(read_digits(), "0", seed=0).test_is_outlier).sum()
    for kind, model in module.MODELS.items():
        rows = [row[1:] for row in figure.rows if row[0] == kind]
        experiment = Experiment("digits", model, "0", 0)
        alignments = alignments_of(experiment, digits_runs, None)
        for series in ("learned", "missing"):
            values = [value for name, _, value in rows if name == series]
            assert len(values) == inliers
            assert values == pytest.approx(getattr(alignments, series))
        for layer in range(4):
            curve = [(epoch, value) for name, epoch, value in rows if name == f"layer {layer + 1}"]
            assert curve == list(enumerate(cosines_of_training(digits_runs / experiment.name)[:, layer], 1))
            assert len(curve) == len(snapshots(digits_runs / experiment.name))
    titles = [axes.get_title() for axes in figure.drawing.axes]
    shared = [title.split()[1] for title in titles[:2]]
    assert titles[0] == f"unconstrained: {shared[0]} of {inliers} overlap"
    assert titles[1] == f"constrained: {shared[1]} of {inliers} overlap"
    assert re.search(rf"\b{shared[0]} .*without .*\b{shared[1]} .* 793 and 296", figure.caption)
