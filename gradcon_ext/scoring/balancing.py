"""Balances a detector's score on images of inliers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.images import Images, as_image_dataset, takes_features
from gradcon_ext.detector.balance import TERMS, WEIGHTS, WEIGHTS_AFTER_LEAD_IN, Balance, Subspace, at_length_1
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.scorer import Scorer, Scores

ALPHA, LEAD_IN, EPOCHS = 0.03, 10, 15
"""The training that the balanced score is made for: a code that the constraint had no part in, and a decoder that was
trained under it (see `gradcon_ext.training.lead_in` and results/README.md)."""

RIDGE = 0.1
"""Of a covariance, in mean variances of a direction."""

_MOST_DIRECTIONS = 256
_MOST_NUMBERS_OF_DIRECTIONS = 1 << 20
_MOST_NUMBERS_OF_CODES = 1 << 22


def balanced(detector: Detector, train: Images, held_out: Images, device: str | torch.device = "cpu") -> Detector:
    """Return a detector whose scores have "direction", "code" and "balanced" too; see `gradcon_ext.detector.balance`.

    No outlier is needed: what codes vary along comes from training images, the scale of each part from held-out ones.
    A score then costs a few percent more, and the file twice a number for each of a code and of at most 256 directions.

    Args:
        detector: a trained one.
        train: images that it was trained on, as `Scorer.score` takes them. As many are looked at, from all over, as
            have four million numbers in their codes: 7281 of 28 pixels, with the paper's model.
        held_out: inliers that it was not trained on; two at least.
        device: to score on.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images, fewer than two held-out ones, or scores that are not finite.
    """
    scorer = Scorer.from_detector(replace(detector, balance=None, calibration=None), device=device)
    codes = _codes_of_some(scorer, as_image_dataset(train, features=takes_features(detector.model))).double()
    like = next(iter(detector.references.values())).cpu()
    direction, code = (principal_directions(vectors).to(like) for vectors in (at_length_1(codes), codes))
    weights = WEIGHTS_AFTER_LEAD_IN if detector.training.get("lead_in") else WEIGHTS
    shape = Balance(direction, code, center={}, scale={}, weights=weights)
    in_float64 = shape.on("cpu")
    parts = [_parts(in_float64, codes, scores) for codes, scores in scorer.codes_and_scores(held_out)]
    columns = {name: torch.cat([part[name] for part in parts]).double() for name in TERMS}
    count = len(columns["code"])
    if count < 2:
        raise ValueError(f"expected at least 2 held-out images to tell the scale of scores by, got {count}")
    for name, column in columns.items():
        if not column.isfinite().all():
            raise ValueError(f"the {name} part of the score of a held-out image is not finite")
    scale = {name: float(column.std()) or 1.0 for name, column in columns.items()}
    center = {name: float(column.mean()) for name, column in columns.items()}
    return replace(detector, balance=replace(shape, center=center, scale=scale), calibration=None)


def _codes_of_some(scorer: Scorer, images: ImageDataset) -> Tensor:
    """Codes (n, D) of images that are evenly spaced among all."""
    first, _ = next(scorer.codes_and_scores(images, order=torch.zeros(1, dtype=torch.int64)))
    count = min(len(images), max(2, _MOST_NUMBERS_OF_CODES // max(first.shape[1], 1)))
    order = torch.arange(count) * len(images) // count
    return torch.cat([codes for codes, _ in scorer.codes_and_scores(images, order=order)])


def principal_directions(vectors: Tensor) -> Subspace:
    """Return what vectors (N, D) in float64 vary along."""
    mean = vectors.mean(0)
    centered = vectors - mean
    most = max(1, min(_MOST_DIRECTIONS, _MOST_NUMBERS_OF_DIRECTIONS // vectors.shape[1]))
    _, deviations, directions = torch.linalg.svd(centered, full_matrices=False)
    variances = deviations[:most].square() / len(vectors)
    ridge = RIDGE * centered.square().sum() / len(vectors) / vectors.shape[1]
    share = variances / (variances + ridge + (ridge == 0))
    return Subspace(mean.cpu(), (directions[:most] * share.sqrt()[:, None]).T.contiguous().cpu())


def _parts(balance: Balance, code: Tensor, scores: Scores) -> dict[str, Tensor]:
    direction, own = balance.code_parts(code.double().cpu())
    return {
        "direction": direction,
        "code": own,
        "gradient": scores.gradient,
        "reconstruction": scores.reconstruction + scores.latent,
    }
