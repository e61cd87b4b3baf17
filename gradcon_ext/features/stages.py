"""The outputs of some of a network's modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def stage_outputs(network: nn.Module, stages: Sequence[str], images: Tensor) -> list[Tensor]:
    """Return what the modules of those names put out, (N, C, h, w) each; without names, what the network returns.

    Raises:
        ValueError: something that is no map of features, or a module that was not run, or more than once.
    """
    if not stages:
        returned = network(images)
        maps = list(returned) if isinstance(returned, list | tuple) else [returned]
        names = [f"output {position}" for position in range(len(maps))]
    else:
        outputs = _hooked(network, stages, images)
        names, maps = list(outputs), [output for output, *_ in outputs.values()]
    for name, features in zip(names, maps, strict=True):
        if not isinstance(features, Tensor) or features.dim() != 4 or len(features) != len(images):
            given = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{name} of {type(network).__name__} gives {given}; expected maps (N, C, h, w)")
    return maps


def _hooked(network: nn.Module, stages: Sequence[str], images: Tensor) -> dict[str, list[Any]]:
    outputs: dict[str, list[Any]] = {stage: [] for stage in stages}

    def keep(stage: str) -> Any:
        return lambda _module, _arguments, output: outputs[stage].append(output)

    handles = [network.get_submodule(stage).register_forward_hook(keep(stage)) for stage in outputs]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    for stage, kept in outputs.items():
        if len(kept) != 1:
            raise ValueError(
                f"{stage} of {type(network).__name__} was run {len(kept)} times for one batch; expected once"
            )
    return outputs
