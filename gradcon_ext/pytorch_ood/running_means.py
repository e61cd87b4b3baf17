"""Mean gradients of groups of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class RunningMeans:
    """Sums of the gradients of groups, and how many samples each has.

    Args:
        model: whose weights they are of.
        names: of the weights.
        groups: how many there are.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], groups: int) -> None:
        weights = {name: model.get_parameter(name).detach() for name in names}
        self._sums = {name: weight.new_zeros(groups, *weight.shape) for name, weight in weights.items()}
        self._counts = torch.zeros(groups, dtype=torch.int64)

    def add(self, group: int, count: int, sums: Mapping[str, Tensor]) -> None:
        """Add the sum of the gradients of some samples of a group, by the names of the weights."""
        self._counts[group] += count
        for name, part in sums.items():
            self._sums[name][group] += part

    def values(self) -> dict[str, Tensor]:
        """Return the means (groups, *weight) by name; zeros for a group without samples."""
        counts = self._counts.clamp(min=1)
        return {name: total / counts.to(total).view(-1, *[1] * (total.dim() - 1)) for name, total in self._sums.items()}
