from __future__ import annotations

import shutil

import numpy as np

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.reproduce import figure5 as module
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure5 import MODEL_OF_LOSS, figure5
from gradcon_ext.reproduce.training import DETECTOR
from gradcon_ext.scoring.scorer import Scorer


def test_classes_are_put_together(digits_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATASETS", ("digits",))
    runs = shutil.copytree(digits_runs, tmp_path / "runs")
    for model in set(MODEL_OF_LOSS.values()):
        shutil.copytree(runs / "digits" / model / "0", runs / "digits" / model / "5")
    figure = figure5({"digits": ["0", "5"]}, runs, None)

    splits = [one_class_split(read_digits(), inlier, seed=0) for inlier in "05"]
    outliers = sum(split.test_is_outlier.sum() for split in splits)
    inliers = sum(len(split.test) for split in splits) - outliers
    for loss, model in MODEL_OF_LOSS.items():
        scorer = Scorer.load(runs / Experiment("digits", model, "0", 0).name / DETECTOR)
        for kind, is_outlier, images in (("inliers", False, inliers), ("outliers", True, outliers)):
            bins = [bin for dataset, name, of, *bin in figure.rows if (dataset, name, of) == ("digits", loss, kind)]
            expected = [
                value
                for split in splits
                for value in getattr(scorer.score(split.test), loss)[split.test_is_outlier == is_outlier].tolist()
            ]
            counts, _ = np.histogram(expected, [low for low, _, _ in bins] + [bins[-1][1]])
            assert [count for _, _, count in bins] == counts.tolist()
            assert counts.sum() == images

    titles = [axes.get_title() for axes in figure.drawing.axes]
    overlaps = dict(zip(MODEL_OF_LOSS, (int(title.split()[1]) for title in titles), strict=True))
    assert titles == [f"digits: {overlap} of {inliers} overlap" for overlap in overlaps.values()]
    least = min(overlaps, key=lambda loss: overlaps[loss])
    assert " 2 classes of digits" in figure.caption
    assert f"digits the {least} loss" in figure.caption
