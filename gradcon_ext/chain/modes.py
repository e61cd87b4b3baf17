"""What looks at the mode of a model itself, where a copy of it is in another."""

from __future__ import annotations

import types

from torch import nn

from gradcon_ext.chain.code_names import names_in
from gradcon_ext.chain.functions import contents_of


def mode_reader(model: nn.Module) -> str | None:
    """Return the name of a function of the model that reads `training` of a module that it closes over, if any."""
    modules = set(model.modules())
    for module in modules:
        for name, function in vars(module).items():
            if isinstance(function, types.FunctionType) and "training" in names_in(function.__code__):
                held = map(contents_of, function.__closure__ or ())
                if any(isinstance(value, nn.Module) and value in modules for value in held):
                    return f"{name} of a {type(module).__name__}"
    return None
