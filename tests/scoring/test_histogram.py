from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from gradcon_ext.scoring.evaluation import evaluate_scores
from gradcon_ext.scoring.histogram import draw_histogram, draw_two, save_histogram
from gradcon_ext.scoring.scorer import Scores


def made(latent=False, count=100):
    generator = torch.Generator().manual_seed(0)
    columns = (torch.rand(count, generator=generator) for _ in range(4))
    reconstruction, some, cosine, anomaly = columns
    scores = Scores(reconstruction, some if latent else torch.zeros(count), cosine[:, None], anomaly)
    is_outlier = np.arange(count) % 4 == 0
    return scores, is_outlier, evaluate_scores(scores, is_outlier)


@pytest.mark.parametrize(
    ("latent", "labels"),
    [
        (False, ["reconstruction loss", "gradient loss (minus the mean cosine)", "anomaly score"]),
        (True, ["reconstruction loss", "latent loss", "gradient loss (minus the mean cosine)", "anomaly score"]),
    ],
)
def test_every_loss_has_a_panel(latent, labels):
    scores, is_outlier, evaluation = made(latent)
    figure = draw_histogram(scores, is_outlier, evaluation, "a title")
    assert figure.get_suptitle() == "a title"
    assert [axes.get_xlabel() for axes in figure.axes] == labels
    assert [axes.get_title() for axes in figure.axes] == [f"AUROC {auroc:.3f}" for auroc in evaluation.auroc.values()]
    assert figure.axes[0].get_ylabel() == "images"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["inliers", "outliers"]


def test_a_balanced_score_has_panels():
    scores, is_outlier, _ = made()
    scores = scores._replace(direction=scores.reconstruction, code=scores.reconstruction, balanced=scores.anomaly)
    figure = draw_histogram(scores, is_outlier, evaluate_scores(scores, is_outlier), "")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[-3:] == [
        "direction of the code, from those of training",
        "code, from those of training",
        "balanced score",
    ]


def test_every_image_is_in_a_bar():
    scores, is_outlier, evaluation = made()
    for axes in draw_histogram(scores, is_outlier, evaluation, "").axes:
        outline, *bars = sorted(axes.patches, key=lambda patch: hasattr(patch, "get_height"))
        assert sum(bar.get_height() for bar in bars) == 75
        assert outline.get_xy()[:, 1].max() >= 25 / 20  # 25 outliers in 20 bins


def test_what_two_distributions_have_in_common_is_counted_bin_by_bin():
    generator = np.random.default_rng(0)
    # 64 numbers make 16 bins, which from 0 to 16 are one wide.
    first = np.array([0.0, 16.0, *generator.integers(0, 11, 38)])
    second = generator.integers(6, 17, 24).astype(float)
    common = 0
    for edge in range(16):
        last = 16 if edge == 15 else edge  # the last bin holds its upper edge too
        common += min(sum(edge <= value <= last for value in values) for values in (first, second))
    assert 0 < common < 24
    assert draw_two(Figure().subplots(), {"photos": first, "paintings": second}) == common


@pytest.mark.parametrize(("shift", "common"), [(0, 30), (100, 0)])
def test_all_or_nothing_may_be_in_common(shift, common):
    values = np.linspace(0, 1, 30)
    assert draw_two(Figure().subplots(), {"one": values, "other": values + shift}) == common


def test_the_legend_has_the_names_of_the_two():
    axes = Figure().subplots()
    draw_two(axes, {"photos": np.arange(3.0), "paintings": np.arange(4.0)})
    assert [text.get_text() for text in axes.legend().get_texts()] == ["photos", "paintings"]


def test_scores_that_are_all_equal_can_be_drawn():
    scores, is_outlier, evaluation = made()
    figure = draw_histogram(scores._replace(reconstruction=torch.zeros(100)), is_outlier, evaluation, "")
    assert len(figure.axes[0].patches) > 0


def test_a_picture_is_saved_without_pyplot(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it fails
    scores, is_outlier, evaluation = made()
    save_histogram(tmp_path / "histogram.png", scores, is_outlier, evaluation, "scores")
    with Image.open(tmp_path / "histogram.png") as image:
        assert image.width > image.height > 300
    assert [file.name for file in tmp_path.iterdir()] == ["histogram.png"]


def test_the_suffix_tells_the_format(tmp_path):
    save_histogram(tmp_path / "histogram.svg", *made(), "scores")
    assert (tmp_path / "histogram.svg").read_text().startswith("<?xml")
