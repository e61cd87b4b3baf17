from __future__ import annotations

import copy
import re

import pytest
import torch

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from gradcon_ext.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint

SETTINGS = {"alpha": 0.03, "layers": ["decoder.0.weight"], "model": {"name": "ConvAutoencoder", "size": [8, 8]}}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)  # some models this small have no gradient at all


def new_state(model=None):
    model = model or ConvAutoencoder(1, 8, width=2)
    weights = {name: layer.weight for name, layer in constrained_layers(model).items()}
    return TrainingState(model, GradientConstraint(weights), torch.optim.Adam(model.parameters(), lr=0.01), seed=4)


def step(state):
    images = torch.linspace(0, 1, 5 * 64).reshape(5, 1, 8, 8)
    state.optimizer.zero_grad()
    state.constraint.backward(state.model.loss(state.model(images), images).total.mean())
    state.optimizer.step()


def trained_state():
    state = new_state()
    step(state)
    state.epoch = 1
    state.best = state.kept(0.5, 0.6)
    step(state)
    state.attempt, state.seed, state.epoch = 2, 5, 2
    state.history = [{"epoch": 1, "loss": 0.1 + 0.2}, {"event": "restart"}]
    return state


def assert_same(first, second):
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor)
    for name, reference in first.constraint.references.items():
        assert torch.equal(second.constraint.references[name], reference)
    assert second.constraint.count == first.constraint.count
    moments, others = first.optimizer.state_dict()["state"], second.optimizer.state_dict()["state"]
    assert moments.keys() == others.keys()
    for index, entry in moments.items():
        assert all(torch.equal(others[index][name], moment) for name, moment in entry.items())


def test_training_goes_on_from_a_checkpoint_with_the_same_bits(tmp_path):
    state, other = trained_state(), new_state()
    save_checkpoint(tmp_path / "checkpoint", state, SETTINGS)
    load_checkpoint(tmp_path / "checkpoint", other, SETTINGS)
    assert_same(state, other)
    assert (other.attempt, other.seed, other.epoch, other.history) == (2, 5, 2, state.history)
    for _ in range(3):
        step(state)
        step(other)
    assert_same(state, other)


def test_the_best_is_kept_apart_from_what_came_after(tmp_path):
    state, other = trained_state(), new_state()
    assert not torch.equal(state.best.weights["decoder.0.weight"], state.model.decoder[0].weight)
    save_checkpoint(tmp_path / "checkpoint", state, SETTINGS)
    load_checkpoint(tmp_path / "checkpoint", other, SETTINGS)
    best, kept = other.best, state.best
    assert (best.objective, best.reconstruction, best.epoch, best.count) == (0.5, 0.6, 1, 1)
    assert all(torch.equal(best.weights[name], tensor) for name, tensor in kept.weights.items())
    assert all(torch.equal(best.references[name], tensor) for name, tensor in kept.references.items())


def test_a_run_that_has_not_begun_is_kept_too(tmp_path):
    state, other = new_state(), new_state()
    save_checkpoint(tmp_path / "checkpoint", state, SETTINGS)
    load_checkpoint(tmp_path / "checkpoint", other, SETTINGS)
    assert_same(state, other)
    assert other.best is None
    assert other.history == []


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0.05), ("layers", ["decoder.2.weight"]), ("model", {"name": "Custom"})]
)
def test_other_settings_are_named(tmp_path, name, value):
    save_checkpoint(tmp_path / "checkpoint", trained_state(), SETTINGS)
    other = new_state()
    before = copy.deepcopy(other.model.state_dict())
    with pytest.raises(ValueError, match=rf"checkpoint .* {name} = .* not {re.escape(repr(value))}"):
        load_checkpoint(tmp_path / "checkpoint", other, {**SETTINGS, name: value})
    assert all(torch.equal(other.model.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("model", [ConvAutoencoder(1, 8, width=3), ConvVariationalAutoencoder(1, 8, width=2)])
def test_another_model_is_an_error(tmp_path, model):
    save_checkpoint(tmp_path / "checkpoint", trained_state(), SETTINGS)
    with pytest.raises(ValueError, match="checkpoint .*fit the model"):
        load_checkpoint(tmp_path / "checkpoint", new_state(model), SETTINGS)


@pytest.mark.parametrize("name", ["settings", "seed", "attempt", "epoch", "count", "best", "history"])
@pytest.mark.parametrize("harm", ["missing", "of another type"])
def test_a_fact_that_is_missing_or_of_another_type_is_an_error(tmp_path, name, harm):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    tensors, facts = read_tensors(path, "checkpoint", 1)
    del facts[name]
    if harm != "missing":
        facts[name] = "x"
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    with pytest.raises(ValueError, match=f"checkpoint: .* {name} .*type"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_references_that_do_not_fit_are_an_error(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    tensors, facts = read_tensors(path, "checkpoint", 1)
    del tensors["reference.decoder.0.weight"]
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    with pytest.raises(ValueError, match="checkpoint .*fit the model"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint .*damaged"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_a_missing_checkpoint_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "checkpoint", new_state(), SETTINGS)


def put(name, change):
    """Change a tensor of the file; None takes it away."""

    def harm(tensors, facts):
        changed = change(tensors.pop(name))
        if changed is not None:
            tensors[name] = changed

    return harm


def fact(name, value, of=None):
    def harm(tensors, facts):
        (facts if of is None else facts[of])[name] = value

    return harm


def nan_in(tensor):
    changed = tensor.clone()
    changed.flatten()[0] = float("nan")
    return changed


HARMS = {
    "a weight is missing": (put("model.decoder.0.weight", lambda t: None), "lacks model.decoder.0.weight"),
    "a weight has another shape": (put("model.decoder.0.weight", lambda t: t[:1]), "model.decoder.0.weight is"),
    "a weight has another type": (put("model.decoder.0.weight", lambda t: t.double()), "torch.float64"),
    "a weight is NaN": (put("model.encoder.0.weight", nan_in), "model.encoder.0.weight .*NaN"),
    "a reference is infinite": (put("reference.decoder.2.weight", lambda t: t / 0), "reference.decoder.2.weight"),
    "a best weight is missing": (put("best.model.decoder.0.bias", lambda t: None), "lacks best.model.decoder.0.bias"),
    "a best reference is missing": (
        put("best.reference.decoder.0.weight", lambda t: None),
        "lacks best.reference.decoder.0.weight",
    ),
    "a best reference has another shape": (put("best.reference.decoder.0.weight", lambda t: t[0]), "best.reference"),
    "a best weight is NaN": (put("best.model.decoder.0.weight", nan_in), "best.model.decoder.0.weight .*NaN"),
    "a moment is missing": (put("optimizer.3.exp_avg", lambda t: None), "lacks optimizer.3.exp_avg"),
    "a moment has another shape": (put("optimizer.0.exp_avg_sq", lambda t: t.flatten()), "optimizer.0.exp_avg_sq is"),
    "a moment is NaN": (put("optimizer.0.exp_avg", nan_in), "optimizer.0.exp_avg .*NaN"),
    "a second moment is negative": (put("optimizer.0.exp_avg_sq", lambda t: -t - 1), "negative"),
    "a step is a vector": (put("optimizer.0.step", lambda t: torch.ones(2)), "optimizer.0.step is"),
    "a moment of no parameter": (lambda t, f: t.update({"optimizer.99.exp_avg": torch.ones(2)}), "optimizer.99"),
    "a moment of no number": (lambda t, f: t.update({"optimizer.x.exp_avg": torch.ones(2)}), "optimizer.x"),
    "a tensor too many": (lambda t, f: t.update({"model.extra": torch.ones(2)}), "model.extra"),
    "a negative seed": (fact("seed", -1), "seed = -1"),
    "no attempt": (fact("attempt", 0), "attempt = 0"),
    "a negative epoch": (fact("epoch", -2), "epoch = -2"),
    "a negative count": (fact("count", -1), "count = -1"),
    "a best epoch to come": (fact("epoch", 7, of="best"), "best epoch 7"),
    "a best loss that is NaN": (fact("objective", float("nan"), of="best"), "not finite"),
    "no best after two epochs": (fact("best", None), "best"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_well_formed_file_with_something_wrong_is_refused_and_changes_nothing(tmp_path, harm):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    tensors, facts = read_tensors(path, "checkpoint", 1)
    change, message = HARMS[harm]
    change(tensors, facts)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    state = new_state()
    before = copy.deepcopy(state.model.state_dict())
    with pytest.raises(ValueError, match=f"checkpoint.*{message}"):
        load_checkpoint(path, state, SETTINGS)
    assert state.epoch == 0 and state.constraint.count == 0 and not state.optimizer.state
    assert all(torch.equal(state.model.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_frozen_parameter_has_no_moments(tmp_path):
    def frozen_state():
        model = ConvAutoencoder(1, 8, width=2)
        model.encoder[0].requires_grad_(False)
        return new_state(model)

    state, other = frozen_state(), frozen_state()
    step(state)
    save_checkpoint(tmp_path / "checkpoint", state, SETTINGS)
    load_checkpoint(tmp_path / "checkpoint", other, SETTINGS)
    assert_same(state, other)
