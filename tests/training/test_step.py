from __future__ import annotations

import pytest
import torch

from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.step import OptimizerStep
from support.training_runs import new_model, new_state, stripes


def new_step(state, loss=None):
    step = OptimizerStep(state, loss or state.model.loss, (1, 8, 8))
    step.begin_epoch()
    return step


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("average", ["objective", "primal"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_steps_that_count_on_the_device_are_those_that_count_on_the_host(model_type, average, alpha):
    metrics, states = [], []
    for capturable in (False, True):
        state = new_state(new_model(model_type).double(), alpha, average, capturable)
        step = new_step(state)
        torch.manual_seed(0)
        metrics.append(torch.stack([step(batch) for batch in stripes(48).split(8)]))
        states.append(state)
    assert metrics[0].shape == (6, 2 + 4)
    torch.testing.assert_close(metrics[1], metrics[0], rtol=1e-9, atol=1e-12)
    assert states[0].constraint.count == states[1].constraint.count == 6
    for name, reference in states[0].constraint.references.items():
        torch.testing.assert_close(states[1].constraint.references[name], reference, rtol=1e-7, atol=1e-14)
    for given, expected in zip(states[1].model.parameters(), states[0].model.parameters(), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-7, atol=1e-9)


def test_a_count_that_is_loaded_goes_on_on_the_device():
    first = new_state(new_model(), capturable=True)
    for batch in stripes(24).split(8):
        new_step(first)(batch)
    second = new_state(new_model(), capturable=True)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.constraint.load_state_dict(first.constraint.state_dict())
    for state in (first, second):
        new_step(state)(stripes(8, seed=3))
    for name, reference in first.constraint.references.items():
        assert torch.equal(second.constraint.references[name], reference)


def test_the_metrics_are_the_losses_and_cosines_of_the_step():
    state = new_state(new_model())
    images = stripes(8)
    expected = squared_error(state.model(images), images).reconstruction.mean()
    metrics = new_step(state)(images)
    assert metrics.dtype == torch.float64
    assert metrics[0] == pytest.approx(expected.item(), rel=1e-5)
    assert metrics[1:].tolist() == [0] * 5
    assert new_step(state)(images)[2:].abs().min() > 0


def test_only_parameters_without_any_gradient_in_an_epoch_are_silent():
    model = new_model()
    torch.nn.init.constant_(model.decoder[2].bias, -1e6)
    model.decoder[6].bias.requires_grad_(False)
    step = new_step(new_state(model))
    step(stripes(8))
    assert "encoder.0.weight" in step.silent()
    assert "decoder.6.weight" not in step.silent()
    assert "decoder.6.bias" not in step.silent()  # it takes no part
    torch.nn.init.zeros_(model.decoder[2].bias)
    step(stripes(8))
    assert step.silent() == []
    torch.nn.init.constant_(model.decoder[2].bias, -1e6)
    step.begin_epoch()
    step(stripes(8))
    assert "encoder.0.weight" in step.silent()
