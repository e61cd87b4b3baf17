from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.epoch import Metrics, TrainingEpoch, Validation
from gradcon_ext.training.step import OptimizerStep

GREY = torch.full((1, 8, 8), 0.5)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def state_of(model, alpha=0.03):
    weights = {name: layer.weight for name, layer in constrained_layers(model).items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return TrainingState(model, GradientConstraint(weights, alpha), optimizer, seed=0)


def run(state, batches, loss=squared_error, read_every=1):
    epoch = TrainingEpoch(OptimizerStep(state, loss, (1, 8, 8)), state.epoch + 1, read_every)
    reports = []
    for batch in batches:
        epoch.take(batch)
        reports.append((len(batch), epoch.loss, epoch.cosine))
    return epoch.metrics(), reports


def validate(state, loss, batches, mean_image):
    validation = Validation(state, loss, mean_image)
    for batch in batches:
        validation.take(batch)
    return validation.metrics()


def images(*counts):
    return [torch.rand(count, 1, 8, 8) for count in counts]


def test_the_objective_takes_the_mean_cosine_off_the_loss():
    assert Metrics(0.5, 0.25, [0.2, 0.4]).loss == 0.75
    assert Metrics(0.5, 0.25, [0.2, 0.4]).objective(0.1) == pytest.approx(0.75 - 0.03)


def test_training_takes_a_step_a_batch_and_reports_it():
    state = state_of(ConvAutoencoder(1, 8, width=4))
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    metrics, reports = run(state, images(5, 5, 2))
    assert state.constraint.count == 3
    assert state.model.training
    assert not any(torch.equal(p, b) for p, b in zip(state.model.parameters(), before, strict=True))
    assert [count for count, _, _ in reports] == [5, 5, 2]
    assert metrics.loss == pytest.approx(sum(count * loss for count, loss, _ in reports) / 12, rel=1e-6)
    mean_cosine = sum(count * cosine for count, _, cosine in reports) / 12
    assert sum(metrics.cosine) / 4 == pytest.approx(mean_cosine, abs=1e-6)
    assert reports[0][2] == 0
    assert metrics.silent == []


def test_images_take_the_dtype_of_the_weights():
    state = state_of(ConvAutoencoder(1, 8, width=4).double())
    run(state, images(3))
    validate(state, squared_error, images(3), GREY)
    assert all(reference.dtype == torch.float64 for reference in state.constraint.references.values())


def test_parameters_that_no_gradient_reaches_are_named():
    model = ConvAutoencoder(1, 8, width=4)
    nn.init.constant_(model.decoder[2].bias, -1e6)
    metrics, _ = run(state_of(model), images(4, 4))
    assert "encoder.0.weight" in metrics.silent
    assert "decoder.2.weight" in metrics.silent
    assert "decoder.6.bias" not in metrics.silent


def test_a_parameter_that_one_gradient_reaches_is_not_silent():
    model = ConvAutoencoder(1, 8, width=4)
    nn.init.constant_(model.decoder[2].bias, -1e6)

    epoch = TrainingEpoch(OptimizerStep(state_of(model), squared_error, (1, 8, 8)), number=1)
    epoch.take(*images(4))
    nn.init.zeros_(model.decoder[2].bias)
    epoch.take(*images(4))
    assert epoch.metrics().silent == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(value):
    state = state_of(ConvAutoencoder(1, 8, width=4))
    state.epoch = 6
    losses = iter([1.0, value])

    def loss(output, images):
        return squared_error(output * next(losses), images)

    with pytest.raises(RuntimeError, match=f"{value} .*epoch 7, step 2"):
        run(state, images(4, 4), loss)


@pytest.mark.parametrize("read_every", [2, 3, 100])
def test_metrics_that_are_read_late_are_the_same(read_every):
    metrics = []
    for every in (1, read_every):
        torch.manual_seed(0)
        state = state_of(ConvAutoencoder(1, 8, width=4))
        metrics.append(run(state, images(5, 5, 5, 2), read_every=every)[0])
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(("read_every", "taken"), [(3, 3), (100, 4)])
def test_a_loss_that_is_read_late_is_that_of_its_own_step(read_every, taken):
    model = ConvAutoencoder(1, 8, width=4)
    model.register_forward_pre_hook(lambda model, arguments: batches.append(arguments[0]))
    batches = []
    spoilt = [batch if step != 1 else batch / 0 for step, batch in enumerate(images(4, 4, 4, 4))]
    with pytest.raises(RuntimeError, match="nan .*epoch 1, step 2"):
        run(state_of(model), spoilt, read_every=read_every)
    assert len(batches) == taken


def test_validation_measures_the_alignment_of_batch_gradients():
    state = state_of(ConvAutoencoder(1, 8, width=4))
    run(state, images(4, 4))
    batches = images(5, 3)
    metrics = validate(state, squared_error, batches, GREY)

    weights = list(state.constraint.weights.values())
    losses, cosines = [], []
    for batch in batches:
        loss = functional.mse_loss(state.model(batch), batch)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, weights)
        cosines.append(
            torch.stack(
                [
                    torch.cosine_similarity(gradient.flatten(), reference.flatten(), dim=0, eps=0)
                    for gradient, reference in zip(gradients, state.constraint.references.values(), strict=True)
                ]
            )
        )
    assert metrics.reconstruction == pytest.approx((losses[0] * 5 + losses[1] * 3) / 8)
    assert metrics.latent == 0
    assert metrics.cosine == pytest.approx(((cosines[0] * 5 + cosines[1] * 3) / 8).tolist(), abs=1e-5)


def test_validation_knows_the_losses_of_constant_images():
    state = state_of(ConvAutoencoder(1, 8, width=4))
    (batch,) = images(6)
    batch = batch / 2
    metrics = validate(state, squared_error, list(batch.split(1)), batch.mean(0))
    assert metrics.mean_image == pytest.approx(float(batch.var(0, correction=0).mean()))
    assert metrics.black_image == pytest.approx(float(batch.square().mean()))
    assert metrics.white_image == pytest.approx(float((1 - batch).square().mean()))


def test_validation_changes_nothing_and_draws_nothing():
    state = state_of(ConvVariationalAutoencoder(1, 8, width=4))
    run(state, images(4, 4), state.model.loss)
    state.optimizer.zero_grad()
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    references = {name: tensor.clone() for name, tensor in state.constraint.references.items()}
    batches = images(4)
    first = validate(state, state.model.loss, batches, GREY)
    assert validate(state, state.model.loss, batches, GREY) == first
    assert not state.model.training
    assert all(torch.equal(state.model.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(state.constraint.references[name], tensor) for name, tensor in references.items())
    assert all(parameter.grad is None for parameter in state.model.parameters())
    assert state.constraint.count == 2
