"""Models that a fast path is likely to get wrong: each is right, as a float64 per-sample loop says, or refused."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from gradcon_ext import per_sample_alignment
from support.threads import torch_threads

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:the loss does not depend on:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),
]
SAMPLES = 5


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These models are too small for more."""
    with torch_threads(1):
        yield


def squared(output: Tensor, input: Tensor) -> Tensor:
    # Uneven, because what is normalised has a constant sum of squares.
    return (output.tanh() * torch.linspace(0.5, 2, output.shape[-1]).to(output)).sub(0.3).square().flatten(1).sum(1)


BASES: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 6)), (6,)),
    "conv": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, padding=1), nn.ConvTranspose2d(5, 2, 2)
        ),
        (2, 4, 5),
    ),
    # As many positions as samples.
    "sequence": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 6)), (SAMPLES, 6)),
}


def replaced_forward(change: Callable[..., Tensor]) -> Callable[[nn.Sequential], None]:
    def apply(model: nn.Sequential) -> None:
        layer = model[2]
        original = layer.forward
        layer.forward = lambda x: change(layer, original, x)

    return apply


def hook(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Sequential], None]:
    return lambda model: model[2].register_forward_hook(lambda module, arguments, output: change(output))


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * weight


class Subclassed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


def with_weight(layer: Any, weight: Tensor, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, layer.bias)
    return layer._conv_forward(x, weight, layer.bias)


def straight_through(layer: Any, original: Any, x: Tensor) -> Tensor:
    weight = layer.weight
    return with_weight(layer, weight + (weight.mul(8).round() / 8 - weight).detach(), x)


def channel_gate(output: Tensor) -> Tensor:
    return output * (torch.arange(output.shape[1]).view(1, -1, *[1] * (output.dim() - 2)) % 2)


def as_method(model: nn.Sequential) -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return with_weight(self, self.weight.abs(), x)

    model[2].forward = forward.__get__(model[2])


def partial_forward(model: nn.Sequential) -> None:
    model[2].forward = functools.partial(with_weight, model[2], model[2].weight)


def projected(model: nn.Sequential) -> None:
    """The weight is changed in place before each use."""

    def clamp(module: nn.Module, arguments: Any) -> None:
        with torch.no_grad():
            module.weight.data = module.weight.data.clamp(min=0)

    model[2].register_forward_pre_hook(clamp)


def projected_in_place(model: nn.Sequential) -> None:
    def clamp(module: nn.Module, arguments: Any) -> None:
        with torch.no_grad():
            module.weight.renorm_(2, 0, 0.5)

    model[2].register_forward_pre_hook(clamp)


def other_layer_in_hook(model: nn.Sequential) -> None:
    first = model[0]
    model[2].register_forward_hook(lambda module, arguments, output: output + first.weight.sum() * first.bias.sum())


def tensor_hook(model: nn.Sequential) -> None:
    def change(module: nn.Module, arguments: Any, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))

    model[1].register_forward_hook(change)


def hidden_list(model: nn.Sequential) -> None:
    layer = model[2]
    layer.hidden = [layer.weight]
    layer.forward = lambda x: with_weight(layer, layer.hidden[0] * 2, x)


def parameter_hook(model: nn.Sequential) -> None:
    model[2].weight.register_hook(lambda gradient: gradient * (gradient > 0))


def frozen(model: nn.Sequential) -> None:
    model.requires_grad_(False)


def counted(model: nn.Sequential) -> None:
    calls = []

    def change(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        calls.append(1)
        return output * len(calls)

    model[1].register_forward_hook(change)


def numpy_noise(output: Tensor) -> Tensor:
    return output * float(np.random.rand())


def batch_norm_by_shape(output: Tensor) -> Tensor:
    return functional.batch_norm(output.transpose(1, -1), None, None, training=True).transpose(1, -1)


TWISTS: dict[str, Callable[[nn.Sequential], Any]] = {
    "nothing": lambda model: None,
    "frozen parameters": frozen,
    "relu in a hook": hook(torch.relu),
    "relu in place in a hook": hook(torch.relu_),
    "clamp in a hook": hook(lambda output: output.clamp(-0.1, 0.2)),
    "channel gate in a hook": hook(channel_gate),
    "always_call hook": lambda model: model[2].register_forward_hook(lambda m, a, o: o * 2, always_call=True),
    "hook with kwargs": lambda model: model[2].register_forward_hook(lambda m, a, k, o: o * 2, with_kwargs=True),
    "pre-hook": lambda model: model[2].register_forward_pre_hook(lambda m, a: (a[0].square(),)),
    "full backward hook": lambda model: model[2].register_full_backward_hook(lambda m, i, o: (i[0] * 2,)),
    "full backward pre-hook": lambda model: model[2].register_full_backward_pre_hook(lambda m, o: (o[0] * 3,)),
    "hook of the container": lambda model: model.register_forward_hook(lambda m, a, o: o.sin()),
    "hook that normalises the batch": hook(batch_norm_by_shape),
    "hook that adds the batch's mean": hook(lambda output: output + output.mean()),
    "hook that drops": hook(lambda output: functional.dropout(output, 0.5, True)),
    "hook that uses another layer": other_layer_in_hook,
    "tensor hook": tensor_hook,
    "parameter hook": parameter_hook,
    "counting hook": counted,
    "forward with |weight|": replaced_forward(lambda layer, original, x: with_weight(layer, layer.weight.abs(), x)),
    "forward that squares its input": replaced_forward(lambda layer, original, x: original(x.square())),
    "forward that masks": replaced_forward(lambda layer, original, x: original(x) * (original(x) > 0)),
    "straight-through quantisation": replaced_forward(straight_through),
    "forward twice": replaced_forward(lambda layer, original, x: original(x) + original(x * 0.5)),
    "forward as a method": as_method,
    "forward as a partial": partial_forward,
    "weight projected": projected,
    "weight clamped in place": projected_in_place,
    "weight in a list": hidden_list,
    "old weight_norm": lambda model: nn.utils.weight_norm(model[2]),
    "old weight_norm of the whole": lambda model: nn.utils.weight_norm(model[2], dim=None),
    "old spectral_norm": lambda model: nn.utils.spectral_norm(model[2]),
    "weight_norm": lambda model: parametrizations.weight_norm(model[2]),
    "spectral_norm": lambda model: parametrizations.spectral_norm(model[2]),
    "pruned": lambda model: prune.random_unstructured(model[2], "weight", 0.5),
    "parametrized": lambda model: nn.utils.parametrize.register_parametrization(model[2], "weight", Doubled()),
    "python's random": hook(lambda output: output * random.random()),
    "numpy's random": hook(numpy_noise),
    "randn_like": hook(lambda output: output + torch.randn_like(output)),
    "bernoulli": hook(lambda output: output * torch.bernoulli(torch.full_like(output, 0.5))),
    "samples reversed and back": replaced_forward(lambda layer, original, x: original(x.flip(0)).flip(0)),
    "samples sorted and back": replaced_forward(
        lambda layer, original, x: original(x[x.flatten(1).sum(1).argsort()])[x.flatten(1).sum(1).argsort().argsort()]
    ),
}
REFUSED = {
    "hook that normalises the batch": "influence each other",
    "hook that adds the batch's mean": "influence each other",
    "hook that drops": "random numbers",
    "counting hook": "chance",
    "python's random": "random",
    "numpy's random": "numpy.random",
    "randn_like": "randn_like",
    "bernoulli": "bernoulli",
    "frozen parameters": "requires no gradient",
}


class Wrapped(nn.Module):
    """A layer on data that a function has rearranged."""

    def __init__(self, layer: nn.Module, run: Callable[[nn.Module, Tensor], Tensor], **held: Any) -> None:
        super().__init__()
        self.layer = layer
        for name, value in held.items():
            setattr(self, name, value)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def time_major(layer: nn.Module) -> nn.Module:
    return Wrapped(layer, lambda self, x: self.layer(x.transpose(0, 1)).transpose(0, 1))


def transformer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16)


def queries(count: int) -> nn.Module:
    def run(self: Any, x: Tensor) -> Tensor:
        return x[..., :1] * self.layer(self.queries).flatten()[None, None]

    return Wrapped(nn.Linear(8, 8), run, queries=nn.Parameter(torch.randn(count, 8)))


def compiled_in_place() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    model.compile(backend="eager")
    return model


def without_single_samples() -> nn.Module:
    return Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x.squeeze()))


class Square(torch.autograd.Function):
    """Without a rule for vmap, and with a gradient that is not its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return grad_output * ctx.saved_tensors[0]


class Embedded(nn.Module):
    """Codes of pixels; the embedding shrinks its weight in place."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 8, max_norm=0.7)
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.embedding((x[..., 0] > 0).long() + 2 * (x[..., 1] > 0).long()))


class Experts(nn.Module):
    """Positions of all samples are sent to one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, x: Tensor) -> Tensor:
        output, flat = torch.zeros_like(x).flatten(0, -2), x.flatten(0, -2)
        for index, layer in enumerate(self.layers):
            chosen = (flat[:, 0] > 0) == bool(index)
            output = output.index_put((chosen,), layer(flat[chosen]))
        return output.view_as(x)


class Sorted(nn.Module):
    """A recurrent layer on packed sequences of several lengths, sorted and put back."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(8, 8, batch_first=True)
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        lengths = 2 + (x[:, 0, 0] > 0).long() * 2
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=4)
        return self.layer(output)


class Slotted(nn.Module):
    __slots__ = ("scale",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = 3.0
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.scale


class LowRank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(8, 8), nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x)) / 4


SPECIAL: dict[str, Callable[[], nn.Module]] = {
    "time-major linear": lambda: time_major(nn.Linear(8, 8)),
    "time-major layer norm": lambda: time_major(nn.LayerNorm(8)),
    "time-major transformer": lambda: time_major(transformer()),
    "batch-first transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "transformer encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
    "learned queries": lambda: queries(SAMPLES),
    "one learned query": lambda: queries(1),
    "samples and positions folded": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.layer(x.flatten(0, 1)).view_as(x)
    ),
    "convolution without a batch": lambda: Wrapped(
        nn.Conv1d(SAMPLES, 3, 1, groups=1), lambda self, x: torch.stack([self.layer(one) for one in x])
    ),
    "linear of a slice": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x[:, 0])[:, None]),
    "samples in chunks": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: torch.cat([self.layer(part) for part in x.split(2)])
    ),
    "samples rolled and back": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x.roll(1, 0)).roll(-1, 0)),
    "branch on the batch size": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.layer(x) * (2 if len(x) > 3 else 1)
    ),
    "branch on requires_grad": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.layer(x) * (1 + self.layer.weight.requires_grad)
    ),
    "branch on values": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.layer(x) * (2 if x[:, 0, 0].sum() > 1e9 else 1)
    ),
    "batch_norm(training=True)": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: functional.batch_norm(self.layer(x), None, None, training=True)
    ),
    "dropout(training=True)": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: functional.dropout(self.layer(x))),
    "feature_alpha_dropout": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: functional.feature_alpha_dropout(self.layer(x), 0.5, True)
    ),
    "rrelu(training=True)": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: functional.rrelu(self.layer(x), training=True)
    ),
    "gumbel_softmax": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: functional.gumbel_softmax(self.layer(x))),
    "instance_norm": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: functional.instance_norm(self.layer(x))),
    "softmax over samples": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x).softmax(0)),
    "gradient stopped": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: x + self.layer(x).detach()),
    "without gradients": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: torch.no_grad()(self.layer)(x) + x),
    "subclass": lambda: Subclassed(8, 8),
    "embedding with max_norm": Embedded,
    "mixture of experts": Experts,
    "packed sequences": Sorted,
    "slots": Slotted,
    "low rank": LowRank,
    "custom function": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: Square.apply(self.layer(x))),
    "checkpointed": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: checkpoint(self.layer, x.requires_grad_(), use_reentrant=False)
    ),
    "data parallel": lambda: nn.DataParallel(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(SAMPLES))),
    "compiled": lambda: torch.compile(nn.Sequential(nn.Linear(8, 8), nn.Tanh()), backend="eager"),
    "compiled in place": compiled_in_place,
    "weight clamped in forward": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: (self.layer.weight.data.clamp_(min=0), self.layer(x))[1]
    ),
    "weight standardised": lambda: Wrapped(
        nn.Linear(8, 8),
        lambda self, x: functional.linear(x, (self.layer.weight - self.layer.weight.mean()) / self.layer.weight.std()),
    ),
    "input changed in place": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x.mul_(2))),
    "double use of a hook's sum": lambda: Wrapped(nn.Linear(8, 8), lambda self, x: self.layer(x) * self.layer(x + 1)),
    "autocast inside": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: torch.autocast("cpu", torch.bfloat16)(self.layer)(x)
    ),
    "no single samples": without_single_samples,
    "tied": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: functional.linear(torch.tanh(self.layer(x)), self.layer.weight.T)
    ),
    "hidden in a list": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.hidden[0].to(x.dtype)(self.layer(x)), hidden=[nn.Linear(8, 8)]
    ),
    "counter in a buffer": lambda: Wrapped(
        nn.Linear(8, 8), lambda self, x: self.layer(x) * self.count.add_(1), count=nn.Buffer(torch.zeros(()))
    ),
}
REFUSED |= {
    "branch on the batch size": "in a batch of 5",
    "input changed in place": "must clone",
    "branch on requires_grad": "looks at requires_grad",
    "batch_norm(training=True)": "influence each other",
    "dropout(training=True)": "bernoulli_",
    "feature_alpha_dropout": "bernoulli_",
    "rrelu(training=True)": "rrelu_with_noise",
    "gumbel_softmax": "exponential_",
    "softmax over samples": "influence each other",
}


def outcome(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> str:
    """How the model was handled: the refusal, or the routes; AssertionError where a cosine is wrong."""
    torch.manual_seed(0)
    model = build().eval()
    torch.manual_seed(0)
    exact = build().eval().double()
    exact.requires_grad_()
    inputs = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(1))
    names, exact_parameters = zip(*exact.named_parameters(), strict=True)
    generator = torch.Generator().manual_seed(2)
    references = {name: torch.randn(one.shape, generator=generator) for name, one in model.named_parameters()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        alignment = per_sample_alignment(model, squared, inputs, references)
    except ValueError as error:
        return f"refused: {error}"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    state = {name: tensor.clone() for name, tensor in exact.state_dict().items()}
    for row, input in enumerate(inputs.double()):
        exact.load_state_dict(state)
        loss = squared(exact(input[None]), input[None]).sum()
        gradients = [None] * len(names)
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, exact_parameters, retain_graph=True, allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            reference = references[name].double()
            norm = 0 if gradient is None else float(gradient.norm())
            expected = 0.0 if norm < 1e-9 else float((gradient * reference).sum() / norm / reference.norm())
            if norm > 1e-5 or norm == 0:
                off = abs(float(alignment.cosine[name][row]) - expected)
                assert off < 5e-3, f"{name}: {alignment.cosine[name][row]:.4f}, expected {expected:.4f}"
    return "right: " + "; ".join(f"{name} {route}" for name, route in alignment.route.items())


def check(twist: str, result: str) -> None:
    if result.startswith("refused"):
        assert twist in REFUSED, result
        assert REFUSED[twist] in result
    else:
        assert twist not in REFUSED or twist == "frozen parameters", result


@pytest.mark.parametrize(("base", "twist"), list(itertools.product(BASES, TWISTS)))
def test_a_twisted_layer(base: str, twist: str) -> None:
    build, shape = BASES[base]

    def twisted() -> nn.Module:
        model = build()
        TWISTS[twist](model)
        return model

    check(twist, outcome(twisted, shape))


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_model(name: str) -> None:
    check(name, outcome(SPECIAL[name], (SAMPLES, 8)))


@pytest.mark.parametrize("seed", range(30))
def test_two_twists_at_once(seed: int) -> None:
    """One on top of the other; those that draw random numbers when they are made differ in float64."""
    choose = random.Random(seed)
    base = choose.choice(list(BASES))
    chosen = choose.sample([name for name in TWISTS if "norm" not in name and name != "pruned"], 2)
    build, shape = BASES[base]

    def twisted() -> nn.Module:
        model = build()
        for name in chosen:
            TWISTS[name](model)
        return model

    result = outcome(twisted, shape)
    if result.startswith("refused"):
        changed_behind = "changes 2.weight in place" in result
        assert changed_behind or any(name in REFUSED for name in chosen), f"{chosen}: {result}"
