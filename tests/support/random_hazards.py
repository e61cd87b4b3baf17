"""Autoencoders at random with two or three hazards together, and how they are called.

Each is drawn from a seed and can be built again, so that a test has the same model twice: one that is scored, and one
that automatic differentiation runs in float64, a sample at a time.
"""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.models import ConvVariationalAutoencoder
from support.hostile_chains import ALTERED, FORWARDS, SHAPE, Plain
from support.hostile_changes import CHANGES

LOW_PRECISION = frozenset(("under_autocast", "decoder_under_autocast"))
ACTIVATIONS = (nn.ELU, nn.GELU, nn.Tanh, nn.SiLU, nn.Softplus, lambda: nn.LeakyReLU(0.2), nn.Identity)
# Of these, torch allows one for a model.
_EXCLUSIVE = frozenset(("parametrization", "old weight_norm", "new weight_norm", "pruned"))


class TimeMajor(nn.Module):
    """A linear layer that is given the channels first, of which there are as many as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(0, 1)).transpose(0, 1)


def through_a_hidden_module(model: Plain, x: Tensor) -> Tensor:
    if not hasattr(model, "hidden"):
        model.__dict__["hidden"] = [nn.LeakyReLU(0.3)]
    return model.decoder(model.hidden[0](model.encoder(x)))


def tied(model: Plain, x: Tensor) -> Tensor:
    hidden = model.decoder[1](model.decoder[0](model.encoder(x)))
    return functional.conv_transpose2d(hidden, model.encoder[0].weight, model.decoder[2].bias, 1, 1).sigmoid()


def standardised(model: Plain, x: Tensor) -> Tensor:
    weight = model.decoder[2].weight
    hidden = model.decoder[:2](model.encoder(x))
    return functional.conv2d(hidden, (weight - weight.mean()) / weight.std(), model.decoder[2].bias, 1, 1).sigmoid()


def by_grad_mode(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(model.encoder(x) if torch.is_grad_enabled() else model.encoder(x).relu())


def by_strides(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(model.encoder(x) if x.is_contiguous() else model.encoder(x).relu())


def by_mode(model: Plain, x: Tensor) -> Tensor:
    return model.decoder(model.encoder(x).tanh() if model.training else model.encoder(x))


def in_halves(model: Plain, x: Tensor) -> Tensor:
    return torch.cat([model.decoder(model.encoder(part)) for part in x.split(2)])


def restored(model: Plain, x: Tensor) -> Tensor:
    """The weights are others while it runs."""
    kept = model.decoder[0].weight.data
    model.decoder[0].weight.data = kept * 0.5
    result = Plain.forward(model, x)
    model.decoder[0].weight.data = kept
    return result


ALL_FORWARDS = {
    **FORWARDS,
    **{
        forward.__name__: forward
        for forward in (
            *(through_a_hidden_module, tied, standardised, by_grad_mode, by_strides, by_mode, in_halves, restored),
        )
    },
}


def _strided(weight: nn.Parameter) -> None:
    weight.data = torch.stack([weight.data, weight.data], -1)[..., 0]


def _flags(model: Plain) -> None:
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 2 == 0)


ALL_ALTERED: dict[str, Callable[[Plain], object]] = {
    **ALTERED,
    "strided weights": lambda m: [_strided(weight) for weight in m.parameters() if weight.dim() > 1],
    "channels last": lambda m: m.to(memory_format=torch.channels_last),
    "every other frozen": _flags,
    "tied biases": lambda m: setattr(m.decoder[0], "bias", m.encoder[0].bias),
    "time-major layer": lambda m: m.decoder.insert(1, TimeMajor()),
    "dropout": lambda m: m.encoder.append(nn.Dropout(0.5)),
    "dropout of none": lambda m: m.encoder.append(nn.Dropout(0.0)),
    "hook of a weight": lambda m: m.decoder[0].weight.register_hook(lambda gradient: gradient.clamp(min=0)),
    "hook that drops": lambda m: m.encoder[0].register_forward_hook(lambda _m, _a, out: functional.dropout(out)),
    "hook that mixes": lambda m: m.encoder[0].register_forward_hook(lambda _m, _a, out: out - out.mean(0)),
    "hook that stops": lambda m: m.decoder[1].register_forward_hook(lambda _m, _a, out: out + out.detach()),
    "layer norm": lambda m: m.decoder.insert(1, nn.LayerNorm(8)),
    "group norm": lambda m: m.encoder.append(nn.GroupNorm(2, 4)),
    "instance norm": lambda m: m.encoder.append(nn.InstanceNorm2d(4)),
    "same module twice": lambda m: m.encoder.extend([conv := nn.Conv2d(4, 4, 3, padding=1), conv]),
    "float64": lambda m: m.double(),
}


@dataclass(frozen=True)
class Construction:
    """A model with hazards, and how it is called.

    Attributes:
        names: of all hazards, for messages.
        make: builds the model, always the same.
        change: what is done to it after the first call, if anything.
        sizes: of the batches of the calls.
        layout: of the images.
        context: in which it is called.
        threads: that call it at once.
    """

    names: tuple[str, ...]
    make: Callable[[], nn.Module]
    change: Callable[[nn.Module], object] | None
    sizes: tuple[int, ...]
    layout: Callable[[Tensor], Tensor]
    context: Callable[[], AbstractContextManager[object]]
    threads: int

    @property
    def tolerance(self) -> float:
        """The arithmetic of bfloat16 is coarse."""
        return 3e-2 if LOW_PRECISION.intersection(self.names) else 2e-4

    def changed(self) -> nn.Module:
        """The model as it is after the first call."""
        model = self.make()
        if self.change is not None:
            self.change(model)
        return model

    def run(self, call: Callable[[], object]) -> list[object]:
        """What the call returns in every thread, or the exception that it raises."""
        results: list[object] = []

        def work() -> None:
            try:
                with self.context():
                    results.append(call())
            except Exception as error:
                results.append(error)

        threads = [threading.Thread(target=work) for _ in range(self.threads - 1)]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()
        return results


def _not_a_number(images: Tensor) -> Tensor:
    images = images.clone()
    images[-1, 0, 3, 3] = torch.nan
    return images


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last images": lambda images: images.contiguous(memory_format=torch.channels_last),
    "strided images": lambda images: torch.stack([images, 1 - images], -1)[..., 0],
    "transposed images": lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
    "equal images": lambda images: images[:1].expand_as(images),
    "images with a graph": lambda images: images.clone().requires_grad_(),
    "a pixel that is NaN": _not_a_number,
}
CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


def construction(seed: int, *, normalised: bool = True) -> Construction:
    """Draw one; with `normalised`, there is a BatchNorm in the encoder, which training does not fuse."""
    choose = random.Random(seed)
    while True:
        drawn = _drawn(choose, normalised)
        try:
            drawn.changed()
        except Exception:  # Some hazards do not go together.
            continue
        return drawn


def _drawn(choose: random.Random, normalised: bool) -> Construction:
    forward = choose.choice(list(ALL_FORWARDS)) if choose.random() < 0.4 else None
    altered = choose.sample(list(ALL_ALTERED), choose.choice((1, 2) if forward else (0, 1, 2, 3)))
    if len(_EXCLUSIVE.intersection(altered)) > 1:
        altered = [name for name in altered if name not in _EXCLUSIVE]
    change = choose.choice(list(CHANGES)) if choose.random() < 0.5 else None
    layout = choose.choice(list(LAYOUTS)) if choose.random() < 0.3 else None
    context = choose.choice(list(CONTEXTS)) if choose.random() < 0.2 else None
    threads = 3 if choose.random() < 0.1 else 1
    activation = choose.choice(ACTIVATIONS)
    variational = forward is None and choose.random() < 0.25
    parameters = choose.randrange(1000)

    def make() -> nn.Module:
        torch.manual_seed(parameters)
        model: Any = _variational() if variational else _plain(forward, normalised)
        model.decoder[1] = activation()
        for name in altered:
            ALL_ALTERED[name](model)
        return model

    names = (
        "variational" if variational else forward,
        *altered,
        change and f"then {change}",
        layout,
        context,
        "threads" if threads > 1 else None,
    )
    return Construction(
        tuple(filter(None, names)),
        make,
        None if change is None else lambda model: (torch.manual_seed(parameters), CHANGES[change](model)),
        choose.choice(((4,), (4, 3), (1, 4), (3, 4, 1))),
        (lambda images: images) if layout is None else LAYOUTS[layout],
        nullcontext if context is None else CONTEXTS[context],
        threads,
    )


def _plain(forward: str | None, normalised: bool) -> nn.Module:
    kind = type("Hostile", (Plain,), {} if forward is None else {"forward": ALL_FORWARDS[forward]})
    model: Plain = kind()
    if not normalised:
        model.encoder[2] = nn.Identity()
    return model


def _variational() -> nn.Module:
    kind = type("HostileVariational", (ConvVariationalAutoencoder,), {})
    model: nn.Module = kind(SHAPE[0], SHAPE[1], 2)
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Without warnings, of which hazards cause many, and in one thread, because these models are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def images_of(seed: int, size: int) -> Tensor:
    """Images (size, *SHAPE) from 0 to 1."""
    return torch.rand(size, *SHAPE, generator=torch.Generator().manual_seed(seed))
