"""What may be done to a model of `hostile_chains` after its first score."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune

from support.hostile_chains import Plain, absolute_error, new_forward, parametrized


def _set(path: str, name: str, value: object) -> Callable[[Plain], object]:
    return lambda model: setattr(model.get_submodule(path), name, value)


CHANGES: dict[str, Callable[[Plain], object]] = {
    "eps of batch norm": _set("encoder.2", "eps", 0.5),
    "slope": _set("encoder.1", "negative_slope", 0.7),
    "alpha of ELU": _set("decoder.1", "alpha", 0.2),
    "activation swapped": lambda m: m.decoder.__setitem__(1, nn.Tanh()),
    "activation removed": lambda m: m.decoder.__delitem__(3),
    "bias added": lambda m: setattr(m.decoder[2], "bias", nn.Parameter(torch.ones(2))),
    "bias removed": lambda m: setattr(m.decoder[2], "bias", None),
    "weight replaced": lambda m: setattr(m.decoder[2], "weight", nn.Parameter(torch.rand(2, 4, 3, 3))),
    "weights loaded": lambda m: m.load_state_dict(Plain().state_dict()),
    "padding mode": lambda m: m.decoder.__setitem__(2, _copied(m.decoder[2], padding_mode="reflect")),
    "padding mode set": lambda m: (
        setattr(m.decoder[2], "padding_mode", "circular"),
        setattr(m.decoder[2], "_reversed_padding_repeated_twice", [1, 1, 1, 1]),
    ),
    "dilation and padding": lambda m: (
        setattr(m.decoder[2], "dilation", (2, 2)),
        setattr(m.decoder[2], "padding", (2, 2)),
    ),
    "a layer appended": lambda m: m.decoder.append(nn.Tanh()),
    "a layer before": lambda m: m.encoder.insert(0, nn.Tanh()),
    "forward hook": lambda m: m.decoder[0].register_forward_hook(lambda _m, _a, out: out * 2),
    "hook of the model": lambda m: m.register_forward_pre_hook(lambda _m, args: (args[0] * 0.5,)),
    "hook of a weight": lambda m: m.decoder[0].weight.register_hook(lambda gradient: gradient.clamp(min=0)),
    "backward hook": lambda m: m.decoder[2].register_full_backward_hook(lambda _m, gi, _g: (gi[0] * 3,)),
    "replaced forward": new_forward,
    "replaced forward of the model": lambda m: setattr(m, "forward", lambda x: m.decoder(m.encoder(x).relu())),
    "forward of the class": lambda m: setattr(type(m), "forward", lambda self, x: self.decoder(self.encoder(x).relu())),
    "another class": lambda m: setattr(m.encoder[1], "__class__", nn.Tanh),
    "parametrization": parametrized,
    "pruning": lambda m: prune.l1_unstructured(m.encoder[0], "weight", 0.5),
    "its loss": lambda m: setattr(m, "loss", absolute_error),
    "training mode": lambda m: m.train(),
    "statistics of batch norm": lambda m: m.encoder[2].running_mean.add_(1),
    "affine of batch norm": lambda m: m.encoder[2].weight.data.mul_(3),
    "data of a weight": lambda m: setattr(m.decoder[0].weight, "data", m.decoder[0].weight.data * 2),
    "a layer frozen": lambda m: m.decoder[0].requires_grad_(False),
    "double precision": lambda m: m.double(),
}


def _copied(layer: nn.Conv2d, **settings: object) -> nn.Conv2d:
    copied = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding, **settings)
    copied.load_state_dict(layer.state_dict())
    return copied
