"""Other detectors out of one run; those of averaged weights are made by `average_detectors`."""

from __future__ import annotations

import copy

import torch

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import loss_of

AVERAGED = "weights averaged"
RENEWED = "references recomputed"

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
