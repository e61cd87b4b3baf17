from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from gradcon_ext.losses import (
    VariationalOutput,
    constant_image_loss,
    evidence_bound,
    loss_of,
    reconstruction_of,
    squared_error,
)
from gradcon_ext.models import ConvVariationalAutoencoder


def variational_output(images, latent=7):
    return VariationalOutput(
        torch.rand_like(images), torch.randn(len(images), latent), torch.randn(len(images), latent)
    )


@pytest.mark.parametrize("shape", [(5,), (5, 7), (5, 3, 4, 6)])
def test_squared_error_is_the_mean_over_the_pixels_of_each_sample(shape):
    output, images = torch.rand(shape), torch.rand(shape)
    losses = squared_error(output, images)
    expected = torch.stack([functional.mse_loss(o, i) for o, i in zip(output, images, strict=True)])
    torch.testing.assert_close(losses.reconstruction, expected)
    assert torch.equal(losses.latent, torch.zeros(5))
    torch.testing.assert_close(losses.total, expected)


def test_squared_error_does_not_depend_on_the_layout_in_memory():
    output, images = torch.rand(5, 3, 4, 6, requires_grad=True), torch.rand(5, 3, 4, 6)
    losses = squared_error(output, images).reconstruction
    laid_out = squared_error(*(each.to(memory_format=torch.channels_last) for each in (output, images))).reconstruction
    torch.testing.assert_close(laid_out, losses)
    torch.testing.assert_close(*(torch.autograd.grad(each.sum(), output) for each in (laid_out, losses)))


def test_squared_error_of_different_shapes_warns():
    with pytest.warns(UserWarning, match="size"):
        squared_error(torch.rand(5, 1, 4, 6), torch.rand(5, 3, 4, 6))


def test_evidence_bound_is_in_nats_per_pixel():
    images = torch.rand(5, 3, 4, 6, dtype=torch.float64)
    output = VariationalOutput(*(part.double() for part in variational_output(images)))
    losses = evidence_bound(output, images)
    cross_entropy = functional.binary_cross_entropy(output.reconstruction, images, reduction="none")
    posterior = torch.distributions.Normal(output.mean, (output.log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(losses.reconstruction, cross_entropy.mean((1, 2, 3)))
    torch.testing.assert_close(losses.latent, divergence.sum(1) / (3 * 4 * 6))
    torch.testing.assert_close(losses.total, losses.reconstruction + losses.latent)


def test_evidence_bound_of_the_prior_has_no_latent_loss():
    output = VariationalOutput(torch.rand(2, 1, 3, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    assert torch.equal(evidence_bound(output, torch.rand(2, 1, 3, 3)).latent, torch.zeros(2))


@pytest.mark.parametrize("logit", [-1000.0, -60.0, -17.0, 17.0, 60.0, 1000.0])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_evidence_bound_and_two_derivatives_are_finite_at_saturated_pixels(logit, target):
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    output = VariationalOutput(logits.sigmoid(), torch.zeros(1, 3), torch.zeros(1, 3))
    loss = evidence_bound(output, torch.full((1, 1, 2, 2), target)).total.sum()
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert second.isfinite().all()


def test_a_very_wrong_pixel_still_has_the_gradient_of_its_logit():
    logits = torch.full((1, 1, 1, 1), -20.0, requires_grad=True)
    output = VariationalOutput(logits.sigmoid(), torch.zeros(1, 3), torch.zeros(1, 3))
    evidence_bound(output, torch.ones(1, 1, 1, 1)).total.sum().backward()
    torch.testing.assert_close(logits.grad, torch.full((1, 1, 1, 1), -1.0))


def test_reconstruction_of_a_tensor_or_of_a_field():
    images = torch.rand(2, 1, 3, 3)
    assert reconstruction_of(images) is images
    assert reconstruction_of(variational_output(images)).shape == images.shape
    assert reconstruction_of(SimpleNamespace(reconstruction=images)) is images


@pytest.mark.parametrize("output", [None, (torch.rand(1),), SimpleNamespace(reconstruction=None)])
def test_an_output_without_a_reconstruction_is_an_error(output):
    with pytest.raises(TypeError, match=type(output).__name__):
        reconstruction_of(output)


@pytest.mark.parametrize("loss", [squared_error, evidence_bound])
def test_of_all_constant_images_the_mean_has_the_least_loss(loss):
    images = torch.rand(20, 2, 5, 5) * torch.rand(2, 5, 5)
    output = variational_output(images)
    if loss is squared_error:
        output = output.reconstruction
    mean = images.mean(0)
    least = constant_image_loss(loss, output, images, mean)
    assert least.shape == ()
    for scale in (0.5, 0.99, 1.01, 1.5):
        assert constant_image_loss(loss, output, images, (mean * scale).clamp(0, 1)) > least


def test_constant_image_loss_of_a_blank_image():
    images = torch.rand(20, 2, 5, 5)
    loss = constant_image_loss(squared_error, images, images, torch.zeros(()))
    torch.testing.assert_close(loss, images.square().mean())


def test_constant_image_loss_needs_an_output_it_can_change():
    images = torch.rand(2, 1, 3, 3)
    with pytest.raises(TypeError, match="got SimpleNamespace"):
        constant_image_loss(squared_error, SimpleNamespace(reconstruction=images), images, images.mean(0))


def test_a_model_without_a_loss_gets_the_squared_error():
    assert loss_of(torch.nn.Identity()) is squared_error
    assert loss_of(ConvVariationalAutoencoder(size=4, width=1)) is evidence_bound
