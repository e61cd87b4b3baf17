from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext.alignment import sample_alignment
from gradcon_ext.constrained import constrained_layers
from gradcon_ext.losses import Loss, SampleLosses, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder


class LinearAutoencoder(nn.Module):
    """Linear layers on a sequence of positions, then on single vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 5)
        self.decoder = nn.Sequential(
            nn.Linear(5, 4), nn.Tanh(), nn.Flatten(), nn.Linear(12, 18), nn.Unflatten(1, (3, 6))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class SequenceAutoencoder(nn.Module):
    """1-D convolutions with groups and dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(2, 4, 3, stride=2, padding=1)
        self.decoder = nn.Sequential(
            nn.Conv1d(4, 6, 3, padding=2, dilation=2, groups=2),
            nn.ELU(),
            nn.ConvTranspose1d(6, 2, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def per_sample_autograd(model: nn.Module, loss: Loss, images: Tensor, references: dict[str, Tensor]):
    """The definition: one backward pass a sample, one cosine a layer."""
    totals, cosines = [], []
    for image in images:
        total = loss(model(image[None]), image[None]).total.sum()
        weights = [model.get_parameter(name) for name in references]
        gradients = torch.autograd.grad(total, weights)
        pairs = zip(gradients, references.values(), strict=True)
        cosines.append(torch.stack([(g * a).sum() / (g.norm() * a.norm()) for g, a in pairs]))
        totals.append(total.detach())
    return torch.stack(totals), torch.stack(cosines)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (partial(ConvAutoencoder, channels=3, width=4), (3, 28, 28)),
        (partial(ConvAutoencoder, channels=1, size=(9, 14), width=8), (1, 9, 14)),
        (partial(ConvVariationalAutoencoder, channels=2, size=11, width=8), (2, 11, 11)),
        (LinearAutoencoder, (3, 6)),
        (SequenceAutoencoder, (2, 12)),
    ],
    ids=["cae", "small cae", "vae", "linear", "1-d"],
)
def test_agrees_with_per_sample_autograd(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = build().double().eval()
    loss = getattr(model, "loss", squared_error)
    layers = constrained_layers(model)
    references = {name: torch.randn_like(layer.weight) for name, layer in layers.items()}
    images = torch.rand(19, *shape, dtype=torch.float64)
    losses, cosines = sample_alignment(model, loss, images, layers, references)
    expected_losses, expected_cosines = per_sample_autograd(model, loss, images, references)
    torch.testing.assert_close(losses.total, expected_losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cosines, expected_cosines, rtol=1e-10, atol=1e-12)


@pytest.fixture
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(width=4).eval()


def align(model: nn.Module, images: Tensor, **changes):
    layers = constrained_layers(model)
    references = {name: layer.weight.detach() for name, layer in layers.items()} | changes.pop("references", {})
    return sample_alignment(model, changes.get("loss", model.loss), images, layers, references)


def test_works_in_every_gradient_mode(model: ConvAutoencoder) -> None:
    images = torch.rand(5, 1, 28, 28)
    expected = align(model, images)
    with torch.no_grad():
        without_gradients = align(model, images)
    with torch.inference_mode():
        inference = align(model, images + 0)
    for losses, cosines in (without_gradients, inference):
        assert torch.equal(cosines, expected[1])
        assert torch.equal(losses.total, expected[0].total)


def test_leaves_no_trace_on_the_model(model: ConvAutoencoder) -> None:
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    losses, cosines = align(model, torch.rand(5, 1, 28, 28))
    assert not losses.total.requires_grad
    assert not cosines.requires_grad
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, before[name])
    assert not any(module._forward_hooks for module in model.modules())


def test_a_zero_gradient_or_reference_has_cosine_zero(model: ConvAutoencoder) -> None:
    images = torch.rand(5, 1, 28, 28)
    name = next(iter(constrained_layers(model)))
    _, cosines = align(model, images, references={name: torch.zeros_like(model.get_parameter(name))})
    assert not cosines[:, 0].any()
    assert cosines[:, 1:].all()

    def constant(output: Tensor, images: Tensor) -> SampleLosses:
        return squared_error(output * 0, images)

    _, cosines = align(model, images, loss=constant)
    assert not cosines.any()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_cosine_does_not_depend_on_the_scale_of_the_loss(model: ConvAutoencoder, scale: float) -> None:
    def scaled(output: Tensor, images: Tensor) -> SampleLosses:
        losses = squared_error(output, images)
        return SampleLosses(losses.reconstruction * scale, losses.latent)

    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(align(model, images, loss=scaled)[1], align(model, images)[1], rtol=1e-4, atol=1e-6)


def test_a_layer_without_an_op_is_refused() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    model = nn.Sequential(layer)
    references = {"0.weight": layer.weight.detach()}
    with pytest.raises(ValueError, match="no alignment op for Conv2d.*circular"):
        sample_alignment(model, squared_error, torch.rand(2, 1, 5, 5), {"0.weight": layer}, references)
