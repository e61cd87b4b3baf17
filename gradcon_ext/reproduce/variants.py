"""Other detectors out of one run; those of averaged weights are made by `average_detectors`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import loss_of

AVERAGED = "weights averaged"
RENEWED = "references recomputed"
PUBLISHED = "checkpoint of the published code"

_PUBLISHED_EVERY = 5

_BATCH_SIZE = 512


def with_renewed_references(detector: Detector, images: ImageArray) -> Detector:
    """Replace the references by the gradient of the mean primal loss over training images, at the final weights.

    Args:
        detector: of a finished run.
        images: that it was trained on, uint8 (N, C, H, W).
    """
    result = copy.deepcopy(detector)
    result.balance = None
    weights = {name: result.model.get_parameter(name) for name in result.references}
    sums = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for batch in torch.split(torch.from_numpy(images), _BATCH_SIZE):
        pixels = batch.float() / 255
        loss = loss_of(result.model)(result.model(pixels), pixels).total.sum()
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            sums[name] += gradient.double()
    result.references = {name: (total / len(images)).to(weights[name].dtype) for name, total in sums.items()}
    return result


def published_epochs(epochs: int) -> range:
    """The epochs at which the published code may save a checkpoint: 1, 6, 11 and so on; the last one besides."""
    return range(1, epochs + 1, _PUBLISHED_EVERY)


def published_checkpoint(attempt: Sequence[Mapping[str, Any]], epochs: int) -> int:
    """Find the epoch that the published code tests.

    After epochs 1, 6, 11 and so on, and after the last, it saves the model if its validation objective is better than
    that of every epoch before, also of those after which it saves nothing; in the end it tests what it saved last.

    Args:
        attempt: the history's entries of the attempt that a run ended with.
        epochs: of the run.
    """
    saved = {*published_epochs(epochs), epochs}
    return max(int(entry["epoch"]) for entry in attempt if entry["epoch"] in saved and entry["best"])
