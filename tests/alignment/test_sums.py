"""L1 norms of the gradients of single samples, beside plain autograd in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.alignment.gradients import ConvGradients, LinearGradients, norms_one_by_one
from gradcon_ext.alignment.sums import absolute_sums


class Repeated(nn.Module):
    """One layer several times, and its weight by itself once more."""

    def __init__(self, layer: nn.Module, then: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.layer(x).tanh())
        return x if self.then is None else self.then(x.tanh(), self.layer.weight)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh())


class Own(nn.Linear):
    """A layer that has no route of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


class TwoHeads(nn.Module):
    """A layer of which the output is not looked at, beside one of which it is."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at, self.other = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.other(x)
        return self.looked_at(x)


def convolutional(axes: int) -> nn.Sequential:
    """Every setting of the convolutions, with normalisation between them."""
    conv, transposed = ((nn.Conv1d, nn.ConvTranspose1d), (nn.Conv2d, nn.ConvTranspose2d))[axes - 1]
    return nn.Sequential(
        conv(4, 6, 3, stride=2, padding=1, groups=2),
        nn.GroupNorm(2, 6),
        nn.Tanh(),
        transposed(6, 9, 3, stride=2, padding=1, output_padding=1, groups=3, bias=False),
        nn.Tanh(),
        conv(9, 5, 3, padding="same", dilation=2, padding_mode="reflect"),
        nn.Tanh(),
        conv(5, 7, 4, padding=2),
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "2-D convolutions": (lambda: convolutional(2), (4, 9, 7)),
    "1-D convolutions": (lambda: convolutional(1), (4, 11)),
    "linear of one position": (lambda: nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3)), (6,)),
    "linear of many positions": (
        lambda: nn.Sequential(nn.Linear(6, 20), nn.LayerNorm(20), nn.Linear(20, 3)),
        (2, 3, 6),
    ),
    "3-D convolution": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 4, 3)),
    "linear, several calls": (lambda: Repeated(nn.Linear(6, 6)), (6,)),
    "convolution, several calls": (lambda: Repeated(nn.Conv2d(3, 3, 3, padding=1)), (3, 5, 4)),
    "weight behind the layer's back": (lambda: Repeated(nn.Linear(6, 6), functional.linear), (6,)),
    "tied weights": (Tied, (6,)),
    "a class of its own": (lambda: Own(6, 3, bias=False), (6,)),
}


def squares(output: Tensor, _: Tensor) -> Tensor:
    return output.square().flatten(1).sum(1)


def one_by_one(model: nn.Module, x: Tensor, names: list[str]) -> dict[str, Tensor]:
    weights = [model.get_parameter(name) for name in names]
    norms = [
        [gradient.abs().sum() for gradient in torch.autograd.grad(squares(model(sample[None]), sample).sum(), weights)]
        for sample in x
    ]
    return {name: torch.stack(column) for name, column in zip(names, zip(*norms, strict=True), strict=True)}


@pytest.mark.parametrize("samples", [1, 17])
@pytest.mark.parametrize("name", MODELS)
def test_the_sums_are_those_of_plain_autograd(name: str, samples: int) -> None:
    build, shape = MODELS[name]
    model, x = build().eval(), torch.randn(samples, *shape)
    names = [parameter for parameter, _ in model.named_parameters()]
    sums = absolute_sums(model, squares, x, names, batch_size=8)
    expected = one_by_one(model.double(), x.double(), names)
    assert sums.keys() == expected.keys()
    for parameter, column in sums.items():
        assert column.dtype == torch.float32
        torch.testing.assert_close(column.double(), expected[parameter], rtol=1e-4, atol=1e-6)
    assert {column.shape for column in sums.values()} == {(samples,)}


@pytest.mark.parametrize("name", ["2-D convolutions", "linear of many positions"])
def test_none_of_no_samples(name: str) -> None:
    build, shape = MODELS[name]
    model = build().eval()
    names = [parameter for parameter, _ in model.named_parameters()]
    sums = absolute_sums(model, squares, torch.zeros(0, *shape), names)
    assert {name: column.shape for name, column in sums.items()} == dict.fromkeys(names, (0,))


@pytest.mark.parametrize("name", ["2-D convolutions", "1-D convolutions", "linear of many positions"])
def test_no_gradient_of_a_known_layer_is_formed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, shape = MODELS[name]
    model, x = build().eval(), torch.randn(3, *shape)
    names = [parameter for parameter, _ in model.named_parameters()]
    expected = absolute_sums(model, squares, x, names)  # which also proves that the routes are right, by forming some

    def form(self: object, sample: int) -> Tensor:
        raise AssertionError("a gradient was formed")

    for kind in (ConvGradients, LinearGradients):
        monkeypatch.setattr(kind, "of_sample", form)
    assert all(map(torch.equal, absolute_sums(model, squares, x, names).values(), expected.values()))


def test_a_parameter_that_the_loss_does_not_reach_has_zeros() -> None:
    with pytest.warns(UserWarning, match=r"does not depend on other\.weight"):
        sums = absolute_sums(TwoHeads(), squares, torch.randn(3, 6), ["looked_at.weight", "other.weight"])
    assert sums["looked_at.weight"].all()
    assert sums["other.weight"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_where_there_is_no_fused_op_gradients_are_formed_one_at_a_time(samples: int) -> None:
    of_linear = LinearGradients(torch.randn(samples, 3, 4), torch.randn(samples, 3, 5))
    conv = {"stride": (2,), "padding": (1,), "dilation": (1,), "groups": 1, "transposed": False, "output_padding": (0,)}
    of_conv = ConvGradients(torch.randn(samples, 4, 7), torch.randn(samples, 6, 4), torch.randn(6, 4, 3), **conv)
    for gradients in (of_linear, of_conv):
        torch.testing.assert_close(norms_one_by_one(gradients), gradients.l1_norms())
