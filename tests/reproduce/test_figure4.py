from __future__ import annotations

import re
from collections import Counter
from statistics import fmean

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gradcon_ext.challenges import LEVELS, challenge
from gradcon_ext.data import read_cure_tsr
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure4 import CURVES, figure4
from gradcon_ext.reproduce.published import published
from gradcon_ext.reproduce.training import DETECTOR
from gradcon_ext.scoring.scorer import Scorer
from support.cure_tsr_files import write_cure_tsr, write_stand_in

CHALLENGES = published()["figure4"]["challenges"]
SEEDS = 2


@pytest.fixture
def runs(tmp_path):
    """Models with their first weights, and references that are no average of anything."""
    for model in ("cae", "cae-grad"):
        for seed in range(SEEDS):
            experiment = Experiment("cure-tsr", model, "all", seed)
            network = experiment.new_model().eval()
            weights = {name: tensor for name, tensor in network.named_parameters() if name.endswith("weight")}
            references = {name: weight.detach().sin() for name, weight in weights.items() if "decoder" in name}
            folder = tmp_path / "runs" / experiment.name
            folder.mkdir(parents=True)
            Detector(network, references, 1).save(folder / DETECTOR)
    return tmp_path / "runs"


def expected_area(runs, curve, free, challenged):
    """AUROC by scikit-learn, mean over the seeds."""
    model, loss = CURVES[curve]
    areas = []
    for seed in range(SEEDS):
        scorer = Scorer.load(runs / Experiment("cure-tsr", model, "all", seed).name / DETECTOR)
        scores = torch.cat([getattr(scorer.score(images), loss) for images in (free, challenged)])
        areas.append(roc_auc_score([False] * len(free) + [True] * len(challenged), scores))
    return fmean(areas)


def check(figure, runs, free, challenged):
    """Check every curve of snow, the challenged images of which are given by level."""
    assert Counter(row[0] for row in figure.rows) == dict.fromkeys(CHALLENGES, len(LEVELS) * len(CURVES))
    snow = {(level, curve): (auroc, seeds) for name, level, curve, auroc, seeds in figure.rows if name == "Snow"}
    for level in LEVELS:
        for curve in CURVES:
            assert snow[level, curve] == (pytest.approx(expected_area(runs, curve, free, challenged[level])), SEEDS)
    for axes, name in zip(figure.drawing.axes, CHALLENGES, strict=True):
        assert axes.get_title().startswith(f"{name} (")
        for line, curve in zip(axes.lines, CURVES, strict=False):
            areas = [row[3] for row in figure.rows if (row[0], row[2]) == (name, curve)]
            np.testing.assert_array_equal(line.get_ydata(), areas)
    check_gains(figure)


def check_gains(figure):
    """Check what the caption says of the difference of two curves, mean over the levels."""

    def mean(name, curve):
        return fmean(row[3] for row in figure.rows if (row[0], row[2]) == (name, curve))

    gains = {name: mean(name, "gradient (CAE + Grad)") - mean(name, "reconstruction (CAE)") for name in CHALLENGES}
    most, least = max(CHALLENGES, key=gains.__getitem__), min(CHALLENGES, key=gains.__getitem__)
    assert (
        f"{fmean(gains.values()):+.3f} on average, most for {most} ({gains[most]:+.3f}), "
        f"least for {least} ({gains[least]:+.3f})."
    ) in figure.caption


def test_challenges_of_the_data_set(runs, tmp_path):
    path = write_cure_tsr(tmp_path / "cure-tsr", challenges=CHALLENGES)
    figure = figure4(SEEDS, runs, tmp_path)
    free = read_cure_tsr(path, "test").images
    check(figure, runs, free, {level: read_cure_tsr(path, "test", "Snow", level).images for level in LEVELS})
    assert figure.caption.startswith("Figure 4 on CURE-TSR. ")


def test_synthesised_challenges_where_the_data_set_is_not_there(runs, tmp_path):
    write_stand_in(tmp_path)
    figure = figure4(SEEDS, runs, tmp_path)
    free = read_cure_tsr(tmp_path / "signs", "test").images
    check(figure, runs, free, {level: challenge(free, "snow", level) for level in LEVELS})
    assert re.search("GTSRB .*CURE-TSR", figure.caption)
    assert "not the paper's images" in figure.caption


def test_a_data_set_without_its_challenges_is_refused(runs, tmp_path):
    write_cure_tsr(tmp_path / "cure-tsr")
    with pytest.raises(FileNotFoundError, match="Real_Test/Decolorization-1 of "):
        figure4(SEEDS, runs, tmp_path)
