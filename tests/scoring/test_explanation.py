from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Scorer
from gradcon_ext.losses import SampleLosses
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.scoring.explanation import explain, explain_batches


def scorer_of(model: nn.Module, *names: str) -> Scorer:
    generator = torch.Generator().manual_seed(1)
    weights = dict(model.named_parameters())
    chosen = names or [name for name in weights if name.startswith("decoder") and weights[name].dim() > 1]
    return Scorer(model, {name: torch.randn(weights[name].shape, generator=generator) for name in chosen})


@pytest.fixture
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(channels=3, size=(12, 20), width=4)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(7, 3, 12, 20)


def test_the_mean_of_the_residual_is_the_reconstruction_loss(model: ConvAutoencoder, images: Tensor) -> None:
    scorer = scorer_of(model)
    residual = explain(scorer, images).residual
    assert residual.shape == (7, 12, 20)
    torch.testing.assert_close(residual, (model(images) - images).square().mean(1).detach())
    torch.testing.assert_close(residual.mean((1, 2)), scorer.score(images).reconstruction)


def test_shares_of_a_layer_on_the_grid_of_the_image_sum_to_its_cosine(images: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 3, (3, 5), padding="same"))
    scorer = scorer_of(model, "0.weight", "2.weight")
    layers = explain(scorer, images).layers
    sums = torch.stack([shares.sum((1, 2)) for shares in layers.values()], 1)
    torch.testing.assert_close(sums, scorer.score(images).cosine, rtol=1e-4, atol=1e-6)


def test_every_map_has_the_size_of_the_image(model: ConvAutoencoder, images: Tensor) -> None:
    explanation = explain(scorer_of(model), images)
    assert explanation.layers.keys() == {f"decoder.{index}.weight" for index in (0, 2, 4, 6)}
    assert {shares.shape for shares in explanation.layers.values()} == {(7, 12, 20)}
    assert not explanation.unmapped


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_the_batch_size_does_not_matter(model: ConvAutoencoder, images: Tensor, batch_size: int) -> None:
    scorer = scorer_of(model)
    expected, explanation = explain(scorer, images), scorer.explain(images, batch_size)
    torch.testing.assert_close(explanation.residual, expected.residual)
    torch.testing.assert_close(explanation.layers, expected.layers, rtol=1e-4, atol=1e-6)
    assert len(list(explain_batches(scorer, images, batch_size))) == -(-7 // batch_size)


def test_bytes_and_modes(model: ConvAutoencoder) -> None:
    images = torch.randint(0, 256, (3, 3, 12, 20), dtype=torch.uint8)
    model.train()
    scorer = scorer_of(model)
    expected = explain(scorer, images.float() / 255)
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            explanation = explain(scorer, images.numpy())
        torch.testing.assert_close(explanation.residual, expected.residual)
        torch.testing.assert_close(explanation.layers, expected.layers)
        assert not explanation.residual.requires_grad
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_a_stream_of_maps_leaves_the_modes_of_its_user_alone(model: ConvAutoencoder, images: Tensor) -> None:
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            for _ in explain_batches(scorer_of(model), images, 3):
                assert torch.is_grad_enabled() == enabled
    with torch.inference_mode():
        for _ in explain_batches(scorer_of(model), images, 3):
            assert torch.is_inference_mode_enabled()


def test_a_linear_layer_has_no_map_and_says_so() -> None:
    torch.manual_seed(0)
    model = ConvVariationalAutoencoder(size=9, width=2)
    names = ("expansion.weight", "decoder.0.weight")
    explanation = explain(scorer_of(model, *names), torch.rand(2, 1, 9, 9))
    assert explanation.unmapped.keys() == {"expansion.weight"}
    assert "linear" in explanation.unmapped["expansion.weight"]
    assert explanation.layers.keys() == {"decoder.0.weight"}


class _Blurring(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


def test_what_a_layer_of_another_class_computes_is_not_guessed(images: Tensor) -> None:
    model = nn.Sequential(_Blurring(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1))
    explanation = explain(scorer_of(model, "0.weight", "1.weight", "1.bias"), images)
    assert explanation.layers.keys() == {"1.weight"}
    assert "_Blurring" in explanation.unmapped["0.weight"]
    assert "convolution" in explanation.unmapped["1.bias"]


def test_maps_are_higher_for_what_is_more_anomalous(model: ConvAutoencoder, images: Tensor) -> None:
    scorer = scorer_of(model)
    explanation, maps = explain(scorer, images), explain(scorer, images).maps
    assert list(maps) == ["residual", "alignment", *(f"alignment.{name}" for name in scorer.layers)]
    assert torch.equal(maps["residual"], explanation.residual)
    for name, shares in explanation.layers.items():
        assert torch.equal(maps[f"alignment.{name}"], -shares)
    torch.testing.assert_close(maps["alignment"], -torch.stack(list(explanation.layers.values())).mean(0))
    streamed = list(scorer.maps(images, 3))
    for name, values in maps.items():
        torch.testing.assert_close(torch.cat([part[name] for part in streamed]), values, rtol=1e-4, atol=1e-6)


def test_a_zero_reference_has_zero_shares(model: ConvAutoencoder, images: Tensor) -> None:
    scorer = Scorer(model, {"decoder.0.weight": torch.zeros_like(model.decoder[0].weight)})
    assert not explain(scorer, images).layers["decoder.0.weight"].any()


def test_a_reconstruction_of_another_shape_has_no_residual() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3))

    def loss(output: Tensor, images: Tensor) -> SampleLosses:
        zeros = torch.zeros(len(images))
        return SampleLosses(output.square().mean((1, 2, 3)), zeros)

    scorer = Scorer(model, {"0.weight": torch.ones(1, 1, 3, 3)}, loss=loss)
    with pytest.raises(ValueError, match=r"\(2, 1, 8, 8\).*\(2, 1, 6, 6\)"):
        explain(scorer, torch.rand(2, 1, 8, 8))
    with pytest.raises(ValueError, match="no images"):
        explain(scorer, torch.rand(0, 1, 8, 8))
