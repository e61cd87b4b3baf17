"""What the gradients of one parameter are aligned with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradcon_ext.alignment.cosine import SMALLEST_NORM
from gradcon_ext.alignment.gradients import as_rows


class References:
    """K references of one parameter.

    Attributes:
        values: (K, *weight).
        norms: of each, (K,), in float64.
        smallest: the smallest norm that does not count as zero; infinite where there is none.

    Args:
        values: without a graph, in the type that the alignment is computed in.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.norms: Tensor = torch.linalg.vector_norm(as_rows(values), dim=1, dtype=torch.float64)
        self._norms: list[float] = self.norms.tolist()
        self.smallest = min((norm for norm in self._norms if norm > SMALLEST_NORM), default=math.inf)

    def are_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        # The norms tell at a glance; only that of very large float64 values says no more than that.
        return all(map(math.isfinite, self._norms)) or bool(self.values.isfinite().all())


def check_holds(name: str, values: Tensor, converted: Tensor) -> None:
    """Raise ValueError where the numbers of a reference all vanish in the dtype that it is converted to."""
    if values.dtype == torch.float64 and converted.dtype != torch.float64 and values.any() and not converted.any():
        raise ValueError(f"the numbers of the reference of {name} are too small for {converted.dtype}; scale it up")
