"""Modules that mix samples or draw random numbers, as their class and mode tell."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

_MIXING: list[tuple[Callable[[nn.Module], bool], str]] = [
    (
        lambda module: (
            isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or module.running_mean is None)
        ),
        "normalises over the batch, so a sample's gradient depends on the others",
    ),
    (
        lambda module: isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p > 0,
        "draws random numbers, so a sample's gradient is not defined by the sample",
    ),
]


def check_samples_are_independent(model: nn.Module) -> None:
    """Raise ValueError for modules that mix samples or draw random numbers, and say the remedy."""
    for name, module in model.named_modules():
        for mixes, why in _MIXING:
            if mixes(module):
                remedy = "call model.eval() first" if module.training else "give it running statistics"
                raise ValueError(f"{name or 'the model'} ({type(module).__name__}) {why}; {remedy}")
