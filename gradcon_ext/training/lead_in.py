"""The lead-in: a code that is learnt without the constraint, for a decoder that is then trained under it anew.

The constraint tells inliers apart by the decoder's gradients, and takes from the code some of what tells them apart
there. After a lead-in the code is that of a model without the constraint, and the decoder never had another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from gradcon_ext.training.dead_start import why_not_redrawn

_DECODER = "decoder"


def check_lead_in(model: nn.Module, constrained: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless all that is constrained is the decoder's alone, and the decoder can begin anew.

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
    reason = why_not_redrawn(model, outside_decoder(model))
    if reason is not None:
        raise ValueError(f"lead_in draws the parameters of the decoder anew, and {reason}")


def outside_decoder(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that are not its decoder's alone: what others have too counts as theirs."""
    decoder = getattr(model, _DECODER)
    # A decoder that is put together whenever it is asked for is no module of the model; only its parts are.
    ends = {decoder} if decoder in set(model.modules()) else set(decoder.modules())
    return list(_modules_up_to(model, ends))


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


def _modules_up_to(module: nn.Module, ends: Collection[nn.Module]) -> dict[nn.Module, None]:
    """The modules of a tree without those that are reached by way of some alone, each once and in order."""
    if module in ends:
        return {}
    found: dict[nn.Module, None] = {module: None}
    for child in module.children():
        found |= _modules_up_to(child, ends)
    return found


def _parameters_of_others(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in outside_decoder(model) for parameter in module.parameters(recurse=False)]
