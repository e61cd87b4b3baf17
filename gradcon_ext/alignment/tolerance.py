"""How far apart two ways to the same numbers may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """How far losses and norms of gradients may be apart, relatively.

    Rounding in a deep network was seen to grow to a few hundred units in the last place; a wrong path is off by
    percents and more. A GPU may multiply float32 in ten bits (TF32).
    """

    loss: float
    gradient: float
    rounding: float


_OF_FLOAT64 = Tolerance(1e-9, 1e-7, 1e-14)
_OF_FLOAT32 = Tolerance(1e-4, 2e-3, 1e-5)
_OF_TENSOR_CORES = Tolerance(1e-2, 2e-2, 1e-2)
_OF_HALF = Tolerance(5e-2, 1e-1, 1e-1)


def tolerance_of(weights: Iterable[Tensor], inputs: Tensor) -> Tolerance:
    """Return the tolerance of what is computed of weights and inputs."""
    dtypes = {weight.dtype for weight in weights}
    dtypes |= {inputs.dtype} if inputs.is_floating_point() else set()
    if torch.is_autocast_enabled(inputs.device.type) or not dtypes <= {torch.float32, torch.float64}:
        return _OF_HALF
    if dtypes == {torch.float64}:
        return _OF_FLOAT64
    return _OF_FLOAT32 if inputs.device.type == "cpu" else _OF_TENSOR_CORES
