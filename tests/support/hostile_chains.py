"""Chains of layers with something behind their back.

Every model is a small autoencoder of images (2, 8, 8) whose constrained weights are those of its decoder.
"""

from __future__ import annotations

import threading
import types
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from gradcon_ext.losses import SampleLosses

SHAPE = (2, 8, 8)
SETTINGS = {"slope": 0.1}
SLOPE = 0.2


class Plain(nn.Module):
    """Without anything hostile; the others change one thing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.BatchNorm2d(4))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1), nn.ELU(), nn.Conv2d(4, 2, 3, padding=1), nn.Sigmoid()
        )
        with torch.no_grad():
            for buffer in (self.encoder[2].running_mean, self.encoder[2].running_var):
                buffer.uniform_(0.3, 1.2)
            self.decoder[0].weight.mul_(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def forward_of(forward: Callable[[Plain, Tensor], Tensor]) -> Callable[[], nn.Module]:
    """A model whose class has another forward."""
    return lambda: type("Hostile", (Plain,), {"forward": forward})()


def changed(change: Callable[[Plain], object]) -> Callable[[], nn.Module]:
    """A plain model that was changed before its first score."""

    def make() -> nn.Module:
        model = Plain()
        change(model)
        return model

    return make


def max_norm(model: Plain, x: Tensor) -> Tensor:
    with torch.no_grad():
        model.decoder[0].weight.renorm_(2, 0, 0.5)
    return Plain.forward(model, x)


def non_negative(model: Plain, x: Tensor) -> Tensor:
    model.decoder[0].weight.data.clamp_(min=0)
    return Plain.forward(model, x)


def replaced_data(model: Plain, x: Tensor) -> Tensor:
    model.decoder[2].weight.data = model.decoder[2].weight.data.abs()
    return Plain.forward(model, x)


def through_numpy(model: Plain, x: Tensor) -> Tensor:
    if x.device.type == "cpu":
        model.decoder[0].weight.detach().numpy()[:] *= 0.5
    return Plain.forward(model, x)


def by_batch_size(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(hidden if len(x) < 4 else functional.relu(hidden))


def for_one_image(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.relu(hidden) if x.size(0) == 1 else hidden)


def by_gradients(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.relu(hidden) if hidden.requires_grad else hidden)


def by_weight_gradients(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.relu(hidden) if model.decoder[0].weight.requires_grad else hidden)


def by_device(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.relu(hidden) if x.device.type == "cpu" else hidden)


def by_kind_of_device(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(hidden if x.is_meta else functional.relu(hidden))


def by_numbers(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.relu(hidden) if model.decoder[2].bias.sum() > -100 else hidden)


def counting(model: Plain, x: Tensor) -> Tensor:
    model.calls = getattr(model, "calls", 0) + 1
    hidden = model.encoder(x)
    return model.decoder(hidden if model.calls < 2 else functional.relu(hidden))


def counting_in_a_list(model: Plain, x: Tensor) -> Tensor:
    model.__dict__.setdefault("calls", []).append(1)
    hidden = model.encoder(x)
    return model.decoder(hidden if len(model.calls) < 2 else functional.relu(hidden))


def hooked_tensor(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    if hidden.requires_grad:
        hidden.register_hook(lambda gradient: gradient * 2)
    return model.decoder(hidden)


def hooked_output(model: Plain, x: Tensor) -> Tensor:
    hidden = model.decoder[0](model.encoder(x))
    if hidden.requires_grad:
        hidden.register_hook(torch.sign)
    return model.decoder[1:](hidden)


def under_autocast(model: Plain, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.encoder(x)
    return model.decoder(hidden.float())


def decoder_under_autocast(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.decoder(hidden)
    return hidden.float()


def detached(model: Plain, x: Tensor) -> Tensor:
    return model.decoder[1:](model.decoder[0](model.encoder(x)).detach())


def partly_detached(model: Plain, x: Tensor) -> Tensor:
    hidden = model.decoder[0](model.encoder(x))
    return model.decoder[1:](hidden + hidden.detach())


def noisy(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(functional.dropout(model.encoder(x), 0.5))


def over_the_batch(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(functional.batch_norm(hidden, None, None, training=True))


def centred(model: Plain, x: Tensor) -> Tensor:
    hidden = model.encoder(x)
    return model.decoder(hidden - hidden.mean(0, keepdim=True))


def reversed_batch(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(model.encoder(x).flip(0))


def computed_weight(model: Plain, x: Tensor) -> Tensor:
    layer = model.decoder[0]
    hidden = functional.conv_transpose2d(model.encoder(x), layer.weight.abs(), layer.bias, 2, 1)
    return model.decoder[1:](hidden)


def called_twice(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(model.encoder(model.decoder(model.encoder(x))))


def by_a_global(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(functional.leaky_relu(model.encoder(x), SLOPE))


def by_settings(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(functional.leaky_relu(model.encoder(x), SETTINGS["slope"]))


def by_an_object(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(functional.leaky_relu(model.encoder(x), model.options.slope))


class ClampedSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Rounded(nn.ConvTranspose2d):
    def forward(self, x, output_size=None):
        return ClampedSign.apply(super().forward(x))


class Halved(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight / 2, bias)


class Scaling(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def with_options() -> nn.Module:
    model = forward_of(by_an_object)()
    model.options = types.SimpleNamespace(slope=0.3)
    return model


def _replace(index: int, make: Callable[[], nn.Module]) -> Callable[[Plain], object]:
    def change(model: Plain) -> None:
        layer = make()
        layer.load_state_dict(model.decoder[index].state_dict())
        model.decoder[index] = layer

    return change


def new_forward(model: Plain) -> None:
    layer = model.decoder[0]
    layer.forward = lambda x: functional.conv_transpose2d(x, layer.weight.abs(), layer.bias, 2, 1)


def _new_root_forward(model: Plain) -> None:
    model.forward = types.MethodType(by_a_global, model)


def parametrized(model: Plain) -> None:
    nn.utils.parametrize.register_parametrization(model.encoder[0], "weight", Scaling())


def _old_weight_norm(model: Plain) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model.encoder[0])


def absolute_error(output: Tensor, images: Tensor) -> SampleLosses:
    error = (output - images).abs().flatten(1).mean(1)
    return SampleLosses(error, torch.zeros_like(error))


FORWARDS: dict[str, Callable[[Plain, Tensor], Tensor]] = {
    forward.__name__: forward
    for forward in (
        *(max_norm, non_negative, replaced_data, through_numpy, by_batch_size, for_one_image, by_gradients),
        *(by_weight_gradients, by_device, by_kind_of_device, by_numbers, counting, counting_in_a_list),
        *(hooked_tensor, hooked_output, under_autocast, decoder_under_autocast, detached, partly_detached, noisy),
        *(over_the_batch, centred, reversed_batch, computed_weight, called_twice, by_a_global, by_settings),
    )
}

ALTERED: dict[str, Callable[[Plain], object]] = {
    "forward hook": lambda m: m.decoder[0].register_forward_hook(lambda _m, _a, out: out.relu()),
    "forward hook that looks": lambda m: m.decoder[0].register_forward_hook(lambda _m, _a, out: None),
    "pre-hook": lambda m: m.decoder[0].register_forward_pre_hook(lambda _m, args: (args[0].clamp(0, 1),)),
    "hook of the model": lambda m: m.register_forward_hook(lambda _m, _a, out: out.clamp(0.4, 0.6)),
    "backward hook": lambda m: m.decoder[2].register_full_backward_hook(lambda _m, gi, _g: (gi[0] * 3,)),
    "backward pre-hook": lambda m: m.decoder[1].register_full_backward_pre_hook(lambda _m, g: (g[0].sign(),)),
    "replaced forward": new_forward,
    "replaced forward of the model": _new_root_forward,
    "subclass of a layer": _replace(0, lambda: Rounded(4, 4, 4, stride=2, padding=1)),
    "subclass of a layer inside": _replace(2, lambda: Halved(4, 2, 3, padding=1)),
    "parametrization": parametrized,
    "old weight_norm": _old_weight_norm,
    "new weight_norm": lambda m: parametrizations.weight_norm(m.encoder[0]),
    "pruned": lambda m: prune.l1_unstructured(m.encoder[0], "weight", 0.5),
    "circular padding": _replace(2, lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular")),
    "frozen decoder": lambda m: m.decoder.requires_grad_(False),
    "in training mode": lambda m: m.train(),
    "one layer in training mode": lambda m: m.eval().encoder[2].train(),
    "batch norm without statistics": lambda m: m.encoder.__setitem__(2, nn.BatchNorm2d(4, track_running_stats=False)),
    "a slope below zero": lambda m: setattr(m.encoder[1], "negative_slope", -0.3),
    "in-place activations": lambda m: setattr(m.encoder[1], "inplace", True),
    "upsampling between pixels": lambda m: m.decoder.insert(
        4, nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.AvgPool2d(2))
    ),
    "shared layer": lambda m: m.decoder.insert(2, m.decoder[1]),
}

HOSTILE: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    **{name: forward_of(forward) for name, forward in FORWARDS.items()},
    **{name: changed(change) for name, change in ALTERED.items()},
    "overridden train": lambda: type("Stubborn", (Plain,), {"train": lambda self, mode=True: self})(),
    "an option of an object": with_options,
    "holds a lock": changed(lambda m: setattr(m, "lock", threading.Lock())),
    "holds a result": changed(lambda m: setattr(m, "last", m.decoder[0].weight * 2)),
    "loss of its own": lambda: type("WithLoss", (Plain,), {"loss": staticmethod(absolute_error)})(),
}
