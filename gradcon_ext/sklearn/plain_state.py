"""A trained detector as numpy arrays and numbers, which is what a pickle of it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gradcon_ext.detector.balance import EARLIER_WEIGHTS, Balance, Subspace
from gradcon_ext.detector.detector import Detector

_SPACES = ("direction", "code")


def plain_state(detector: Detector) -> dict[str, Any]:
    """Return weights, references and balance as arrays, and what else `restored` needs but for the model's class."""
    return {
        "weights": _arrays(detector.model.state_dict()),
        "references": _arrays(detector.references),
        "count": detector.count,
        "balance": None if detector.balance is None else _plain_balance(detector.balance),
        "preprocessing": detector.preprocessing,
        "training": detector.training,
    }


def restored(state: Mapping[str, Any], model: nn.Module) -> Detector:
    """Return the detector of `plain_state`, with a model that takes its weights."""
    model.load_state_dict(_tensors(state["weights"]))
    return Detector(
        model.eval(),
        _tensors(state["references"]),
        state["count"],
        preprocessing=state["preprocessing"],
        training=state["training"],
        balance=None if state["balance"] is None else _balance(state["balance"]),
    )


def _plain_balance(balance: Balance) -> dict[str, Any]:
    spaces = {name: getattr(balance, name) for name in _SPACES}
    arrays = {name: _arrays({"mean": space.mean, "directions": space.directions}) for name, space in spaces.items()}
    return {**arrays, **balance.facts}


def _balance(state: Mapping[str, Any]) -> Balance:
    direction, code = (Subspace(**_tensors(state[name])) for name in _SPACES)
    return Balance(direction, code, state["center"], state["scale"], state.get("weights", EARLIER_WEIGHTS))


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    # Copies: an array that joblib has mapped into memory is read-only.
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
