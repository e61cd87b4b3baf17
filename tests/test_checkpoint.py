from __future__ import annotations

import copy

import pytest
import torch

from gradcon_ext.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from gradcon_ext.constrained import constrained_layers
from gradcon_ext.constraint import GradientConstraint
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.tensorfile import read_tensors, write_tensors

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
    with pytest.raises(ValueError, match=f"checkpoint is of a run with {name} = .*, not ") as error:
        load_checkpoint(tmp_path / "checkpoint", other, {**SETTINGS, name: value})
    assert repr(value) in str(error.value)
    assert all(torch.equal(other.model.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("model", [ConvAutoencoder(1, 8, width=3), ConvVariationalAutoencoder(1, 8, width=2)])
def test_another_model_is_an_error(tmp_path, model):
    save_checkpoint(tmp_path / "checkpoint", trained_state(), SETTINGS)
    with pytest.raises(ValueError, match="checkpoint does not fit the model"):
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
    with pytest.raises(ValueError, match=f"checkpoint: expected {name} to be of type"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_references_that_do_not_fit_are_an_error(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    tensors, facts = read_tensors(path, "checkpoint", 1)
    del tensors["reference.decoder.0.weight"]
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    with pytest.raises(ValueError, match="checkpoint does not fit the model"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, trained_state(), SETTINGS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint is damaged"):
        load_checkpoint(path, new_state(), SETTINGS)


def test_a_missing_checkpoint_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "checkpoint", new_state(), SETTINGS)
