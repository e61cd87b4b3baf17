from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.losses import VariationalOutput
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.objective import Objective
from gradcon_ext.training.precision import run_in
from support.training_runs import TRAIN, VAL, assert_same_detector, new_model, new_trainer

MODELS = (ConvAutoencoder, ConvVariationalAutoencoder)


def test_layers_compute_in_bfloat16_and_the_output_is_float32():
    seen = []
    model = new_model()
    model.decoder[0].register_forward_hook(lambda module, arguments, output: seen.append(output.dtype))
    output = run_in("bfloat16", model, VAL)
    assert seen == [torch.bfloat16]
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, run_in("float32", model, VAL), rtol=0, atol=0.01)
    assert not torch.equal(output, run_in("float32", model, VAL))


def test_every_part_of_a_named_tuple_is_float32():
    output = run_in("bfloat16", new_model(ConvVariationalAutoencoder).eval(), VAL)
    assert isinstance(output, VariationalOutput)
    assert {part.dtype for part in output} == {torch.float32}


def test_an_output_of_another_kind_is_left_as_it_is():
    class Wrapped(nn.Module):
        def forward(self, images):
            return {"image": images}

    assert run_in("bfloat16", Wrapped(), VAL)["image"] is VAL


@pytest.mark.parametrize("model_type", MODELS)
def test_gradients_and_references_are_float32_and_near_those_of_float32(model_type, monkeypatch):
    # Of one seed, torch 2.10 draws other numbers in bfloat16 than in float32, from sixteen on.
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.randn(like.shape).to(like.dtype))
    gradients = []
    for precision in ("float32", "bfloat16"):
        model = new_model(model_type)
        weights = {name: layer.weight for name, layer in constrained_layers(model).items()}
        constraint = GradientConstraint(weights)
        step = Objective(model, model.loss, constraint, (1, 8, 8), precision)
        assert (step.engine.chain is None) == (precision == "bfloat16")
        for seed in range(2):
            model.zero_grad()
            torch.manual_seed(seed)
            losses = step.forward(TRAIN)
            assert losses.total.dtype == torch.float32
            assert step.backward().dtype == torch.float32
        for reference, weight in zip(constraint.references.values(), weights.values(), strict=True):
            assert reference.dtype == weight.dtype == weight.grad.dtype == torch.float32
        gradients.append([parameter.grad for parameter in model.parameters()])
    for exact, given in zip(*gradients, strict=True):
        assert torch.cosine_similarity(exact.flatten(), given.flatten(), dim=0) > 0.98


@pytest.mark.parametrize("model_type", MODELS)
def test_training_in_bfloat16_learns_as_in_float32(model_type, device):
    arguments = {"device": device, "epochs": 6, "lr": 0.01}
    exact = new_trainer(new_model(model_type), **arguments).fit(TRAIN, VAL)
    detector = new_trainer(new_model(model_type), **arguments, precision="bfloat16").fit(TRAIN, VAL)
    assert {parameter.dtype for parameter in detector.model.parameters()} == {torch.float32}
    assert detector.training["precision"] == "bfloat16"
    assert detector.training["validation_objective"] == pytest.approx(exact.training["validation_objective"], abs=0.02)


def test_a_run_is_not_resumed_in_another_precision(tmp_path):
    new_trainer(epochs=1, out=tmp_path).fit(TRAIN, VAL)
    with pytest.raises(ValueError, match="precision = 'float32'.* 'bfloat16'"):
        new_trainer(epochs=2, out=tmp_path, precision="bfloat16").fit(TRAIN, VAL, resume=True)


def test_a_run_in_bfloat16_is_resumed_to_the_bit(tmp_path):
    new_trainer(epochs=1, out=tmp_path, precision="bfloat16").fit(TRAIN, VAL)
    resumed = new_trainer(epochs=2, out=tmp_path, precision="bfloat16").fit(TRAIN, VAL, resume=True)
    assert_same_detector(new_trainer(epochs=2, precision="bfloat16").fit(TRAIN, VAL), resumed)


def test_precisions_are_checked():
    with pytest.raises(ValueError, match="precision .* 'float16'$"):
        new_trainer(precision="float16").check()
    with pytest.raises(ValueError, match="torch.float32.* torch.float64"):
        new_trainer(new_model().double(), precision="bfloat16").check()
