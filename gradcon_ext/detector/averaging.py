"""One detector out of several of a run, whose scores swing less from epoch to epoch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import OF_BALANCE, PAPERS


def average_detectors(detectors: Sequence[Detector]) -> Detector:
    """Average the weights and the references of detectors, such as the snapshots of one run (see `Trainer`).

    Args:
        detectors: of the same model and the same layers. What else the last one holds is kept, but for balance and
            calibration, which are of the codes and the scores of one model, and a part that needs a balance.

    Raises:
        ValueError: no detectors, or tensors of other names or shapes.
    """
    if not detectors:
        raise ValueError("expected one or more detectors to average, got none")
    states = [detector.model.state_dict() for detector in detectors]
    result = copy.deepcopy(detectors[-1])
    result.model.load_state_dict(_means(states))
    result.references = _means([detector.references for detector in detectors])
    result.balance = result.calibration = None
    result.part = PAPERS if result.part in OF_BALANCE else result.part
    return result


def _means(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("expected detectors of one model and the same layers, got tensors of other names or shapes")
    return {name: _mean([state[name] for state in states]) for name in states[0]}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    # In float64, so that the order does not matter; counts, such as those of normalisation layers, stay whole numbers.
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)
