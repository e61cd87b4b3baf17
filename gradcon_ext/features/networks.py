"""Networks by their names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence

from torch import nn

TIMM = "timm:"
"""What the names of timm's models begin with."""


def load_network(name: str, stages: Sequence[int] = (1, 2, 3)) -> nn.Module:
    """Make the network of a name, with its weights.

    Args:
        name: "timm:" and the name of one of timm's models, whose pretrained weights timm finds or downloads, with its
            stages if they are to be others, as "timm:resnet18:0,2"; or a module and a function in it without arguments
            that returns a network, "package.module:function".
        stages: of timm's models, which of their stages to take: 0 is the first, at half the size of the image.

    Raises:
        ImportError: timm, or that module, is not installed or cannot be imported.
        ValueError: another kind of name, no such function or model, or something else than a network.
    """
    if name.startswith(TIMM):
        model, _, numbers = name.removeprefix(TIMM).rpartition(":")
        if re.fullmatch(r"\d{1,3}(,\d{1,3})*", numbers):
            return _timm_network(model, tuple(map(int, numbers.split(","))))
        return _timm_network(name.removeprefix(TIMM), stages)
    module, separator, function = name.partition(":")
    if not (separator and module and function):
        raise ValueError(f"expected a network such as timm:resnet18 or package.module:function, got {name!r}")
    make = getattr(importlib.import_module(module), function, None)
    if not callable(make):
        raise ValueError(f"{module} has no function {function!r}")
    network = make()
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} returned a {type(network).__name__}; expected a torch.nn.Module")
    return network


def _timm_network(name: str, stages: Sequence[int]) -> nn.Module:
    try:
        import timm
    except Exception as error:  # timm imports torchvision, which raises RuntimeError where it is made for another torch
        raise ImportError(f"timm cannot be imported: {error}; pip install 'gradcon_ext[timm]'") from error
    try:
        network: nn.Module = timm.create_model(name, pretrained=True, features_only=True, out_indices=tuple(stages))
    except Exception as error:  # unknown names, stages, and downloads that fail raise nearly anything
        raise ValueError(f"timm has no {name} with features of stages {list(stages)}: {error}") from error
    return network
