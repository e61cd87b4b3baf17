"""The lead-in: a code that is learnt without the constraint, for a decoder that is then trained under it anew.

The constraint tells inliers apart by the decoder's gradients, and takes from the code some of what tells them apart
there. After a lead-in the code is that of a model without the constraint, and the decoder never had another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

_DECODER = "decoder"


def check_lead_in(model: nn.Module, constrained: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless everything that is constrained is the decoder's, and the decoder's alone.

    Args:
        model: to be trained.
        constrained: weights by name.
    """
    if not isinstance(getattr(model, _DECODER, None), nn.Module):
        raise ValueError(f"lead_in needs a model with a module named {_DECODER!r}, got a {type(model).__name__}")
    of_others = set(_parameters_of_others(model))
    for name, weight in constrained.items():
        if weight in of_others:
            raise ValueError(f"lead_in trains the decoder alone under the constraint, and {name!r} is not only its own")


def outside_decoder(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that are not its decoder's."""
    within = set(getattr(model, _DECODER).modules())
    return [module for module in model.modules() if module not in within]


def freeze_all_but_decoder(model: nn.Module) -> None:
    """Let no parameter change but those of the decoder."""
    for parameter in _parameters_of_others(model):
        parameter.requires_grad_(False)


def use_as_it_is(model: nn.Module) -> None:
    """Let what was frozen compute what it does in evaluation mode, such as a batch norm by its stored statistics.

    The model itself stays in its mode, by which a variational autoencoder draws its code.
    """
    for module in outside_decoder(model):
        if module is not model:
            module.training = False


@contextmanager
def thawed_at_the_end(model: nn.Module) -> Iterator[None]:
    """Let parameters that were trained before be so again after a block."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _parameters_of_others(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in outside_decoder(model) for parameter in module.parameters(recurse=False)]
