from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gradcon_ext.detector.parts import losses_of
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.evaluation import Evaluation, evaluate, evaluate_scores
from gradcon_ext.scoring.scorer import Scorer, Scores

IS_OUTLIER = [False, True, False, True]


def scores(reconstruction=(0.1, 0.2, 0.3, 0.4), latent=(0.0,) * 4, cosine=(0.9, 0.5, 0.4, 0.1)):
    reconstruction, latent, cosine = (torch.tensor(values) for values in (reconstruction, latent, cosine))
    layers = torch.stack([cosine, torch.zeros(4)], 1)
    return Scores(reconstruction, latent, layers, reconstruction + latent - 0.12 * cosine / 2)


def test_every_loss_is_rated_by_itself():
    evaluation = evaluate_scores(scores(cosine=(0.9, -0.5, 0.4, 0.1)), IS_OUTLIER)
    # Of the four pairs of an outlier and an inlier, the share in which the outlier scores higher.
    assert evaluation.auroc == {"reconstruction": 0.75, "gradient": 1.0, "combined": 0.75}
    assert (evaluation.inliers, evaluation.outliers) == (2, 2)


def test_ties_count_half():
    assert evaluate_scores(scores(reconstruction=(0.1,) * 4), IS_OUTLIER).auroc["reconstruction"] == 0.5


def test_a_latent_loss_is_rated_where_there_is_one():
    evaluation = evaluate_scores(scores(latent=(0.2, 0.1, 0.4, 0.3)), IS_OUTLIER)
    assert list(evaluation.auroc) == ["reconstruction", "latent", "gradient", "combined"]
    assert evaluation.auroc["latent"] == 0.25


def test_the_losses_are_those_of_the_scores():
    given = scores(latent=(0.2, 0.1, 0.4, 0.3))
    losses = losses_of(given)
    assert torch.equal(losses["gradient"], -given.cosine.mean(1))
    assert torch.equal(losses["combined"], given.anomaly)


@pytest.mark.parametrize(
    "truth",
    [IS_OUTLIER, [0, 1, 0, 1], np.array(IS_OUTLIER), np.array([0.0, 1, 0, 1]), torch.tensor(IS_OUTLIER)],
    ids=["list", "numbers", "numpy", "floats", "tensor"],
)
def test_the_truth_may_have_any_form(truth):
    assert evaluate_scores(scores(), truth) == evaluate_scores(scores(), IS_OUTLIER)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([False] * 4, "4 images are inliers"),
        ([True] * 4, "4 images are outliers"),
        ([True, False], r"is_outlier .*bool .*\(2,\).*\(4,\)"),
        ([[True, False], [True, False]], r"is_outlier .*\(2, 2\).*\(4,\)"),
        ([0, 1, 2, 3], "is_outlier .*int64.*true or false"),
        ([0.0, 1.0, float("nan"), 1.0], "is_outlier .*float64.*true or false"),
    ],
)
def test_a_bad_truth_is_an_error(truth, message):
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores(), truth)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_scores_that_are_not_finite_are_an_error(value):
    reconstruction = (0.1, 0.2, float(value), 0.4)
    with pytest.raises(ValueError, match=f"reconstruction .*image 2 .* {value};"):
        evaluate_scores(scores(reconstruction=reconstruction), IS_OUTLIER)


def test_the_table_lists_every_loss():
    assert evaluate_scores(scores(), IS_OUTLIER).table().splitlines() == [
        "loss            AUROC",
        "reconstruction  0.750",
        "gradient        0.750",
        "combined        0.750",
        "2 inliers, 2 outliers",
    ]


def test_an_evaluation_goes_through_json():
    evaluation = evaluate_scores(scores(), IS_OUTLIER)
    assert type(evaluation)(**json.loads(json.dumps(evaluation.as_json()))) == evaluation
    assert Evaluation({"combined": 2 / 3}, 1, 3).as_json()["auroc"] == {"combined": 0.666667}


def test_images_are_scored_and_rated():
    torch.manual_seed(0)
    model = ConvAutoencoder(1, 8, 4)
    names = ("decoder.0.weight", "decoder.2.weight")
    scorer = Scorer(model, {name: torch.randn_like(model.get_parameter(name)) for name in names})
    images, is_outlier = torch.rand(12, 1, 8, 8), [True, False] * 6
    expected = evaluate_scores(scorer.score(images), is_outlier)
    assert evaluate(scorer, images, is_outlier, batch_size=5).auroc == pytest.approx(expected.auroc)
