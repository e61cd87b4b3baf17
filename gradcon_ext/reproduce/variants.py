"""Other detectors out of one run: of averaged weights, and with references recomputed at the scored weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.detector import Detector
from gradcon_ext.losses import loss_of

AVERAGED = "weights averaged"
RENEWED = "references recomputed"

_BATCH_SIZE = 512


def averaged(detectors: Sequence[Detector]) -> Detector:
    """Average the weights and the references of snapshots of one run."""

    def mean(tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)

    states = [detector.model.state_dict() for detector in detectors]
    result = copy.deepcopy(detectors[-1])
    result.model.load_state_dict({name: mean([state[name] for state in states]) for name in states[0]})
    result.references = {
        name: mean([detector.references[name] for detector in detectors]) for name in result.references
    }
    return result


def with_renewed_references(detector: Detector, images: ImageArray) -> Detector:
    """Replace the references by the gradient of the mean primal loss over training images, at the final weights.

    Args:
        detector: of a finished run.
        images: that it was trained on, uint8 (N, C, H, W).
    """
    result = copy.deepcopy(detector)
    weights = {name: result.model.get_parameter(name) for name in result.references}
    sums = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for batch in torch.split(torch.from_numpy(images), _BATCH_SIZE):
        pixels = batch.float() / 255
        loss = loss_of(result.model)(result.model(pixels), pixels).total.sum()
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            sums[name] += gradient.double()
    result.references = {name: (total / len(images)).to(weights[name].dtype) for name, total in sums.items()}
    return result
