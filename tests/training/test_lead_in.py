from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gradcon_ext.detector.place import CHECKPOINT
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from gradcon_ext.training.dead_start import redraw
from gradcon_ext.training.lead_in import outside_decoder
from gradcon_ext.training.run_folder import last_attempt
from support.training_runs import (
    TRAIN,
    VAL,
    Interrupted,
    assert_same_detector,
    dead_model,
    history_of,
    interrupted,
    new_model,
    new_trainer,
)

MEAN_IMAGE = torch.cat([TRAIN, VAL]).double().mean(0).float()
ARGUMENTS = {"alpha": 0.5, "epochs": 3, "lead_in": 2}
PASSES_PER_EPOCH = 7  # 5 of training and 2 of validation


class Normalised(nn.Module):
    """An autoencoder whose encoder has statistics and noise of its own in training."""

    loss = staticmethod(squared_error)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.BatchNorm2d(4), nn.Dropout(0.3))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 1, 4, 4), nn.Sigmoid())

    def forward(self, images):
        return self.decoder(self.encoder(images))


def parts_of(state, in_decoder):
    return {name: tensor for name, tensor in state.items() if name.startswith("decoder") == in_decoder}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_it_is_a_run_without_the_constraint_and_one_of_a_new_decoder_alone(model_type):
    whole = new_trainer(new_model(model_type), **ARGUMENTS).fit(TRAIN, VAL)

    model = new_trainer(new_model(model_type), alpha=0.0, epochs=2).fit(TRAIN, VAL).model
    redraw(model, torch.device("cpu"), 0, MEAN_IMAGE, outside_decoder(model))
    for module in outside_decoder(model):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    second = new_trainer(model, alpha=0.5, epochs=3).fit(TRAIN, VAL)

    assert same(whole.model.state_dict(), second.model.state_dict())
    assert same(whole.references, second.references)
    assert whole.count == second.count
    assert whole.training["lead_in"] == 2
    assert whole.training["epochs"] == 3


def test_the_encoder_is_that_of_the_best_epoch_of_the_lead_in_with_its_statistics():
    torch.manual_seed(0)
    start = Normalised()
    led = new_trainer(copy.deepcopy(start), **ARGUMENTS).fit(TRAIN, VAL).model.state_dict()
    free = new_trainer(copy.deepcopy(start), alpha=0.0, epochs=2).fit(TRAIN, VAL).model.state_dict()
    assert same(parts_of(led, False), parts_of(free, False))
    assert not same(parts_of(led, True), parts_of(free, True))


def test_steps_after_it_are_fused_too():
    trainer = new_trainer(**ARGUMENTS)
    trainer.fit(TRAIN, VAL)
    assert trainer.engine.name == "fused chain"


@pytest.mark.parametrize("exception", [None, Interrupted])
def test_parameters_are_trained_again_afterwards_unless_they_were_not_before(exception):
    model = new_model()
    model.encoder[0].bias.requires_grad_(False)
    if exception is None:
        new_trainer(model, **ARGUMENTS).fit(TRAIN, VAL)
    else:
        with interrupted(2 * PASSES_PER_EPOCH + 3, exception), pytest.raises(exception):
            new_trainer(model, **ARGUMENTS).fit(TRAIN, VAL)
    assert [name for name, each in model.named_parameters() if not each.requires_grad] == ["encoder.0.bias"]


@pytest.mark.parametrize("call", [3, PASSES_PER_EPOCH, 2 * PASSES_PER_EPOCH, 2 * PASSES_PER_EPOCH + 3, 30])
def test_an_interrupted_run_ends_as_if_it_had_not_been(call, tmp_path):
    whole = new_trainer(new_model(), out=tmp_path / "whole", **ARGUMENTS).fit(TRAIN, VAL)
    with interrupted(call, Interrupted), pytest.raises(Interrupted):
        new_trainer(new_model(), out=tmp_path / "parts", **ARGUMENTS).fit(TRAIN, VAL)
    resumed = new_trainer(new_model(seed=5), out=tmp_path / "parts", **ARGUMENTS).fit(TRAIN, VAL, resume=True)
    assert_same_detector(whole, resumed)
    assert history_of(tmp_path / "whole") == history_of(tmp_path / "parts")
    states = [read_tensors(tmp_path / run / CHECKPOINT, "checkpoint", 1)[0] for run in ("whole", "parts")]
    assert same(*states)


def test_the_history_tells_the_epochs_of_both(tmp_path):
    new_trainer(out=tmp_path, **ARGUMENTS).fit(TRAIN, VAL)
    history = history_of(tmp_path)
    told = [(entry.get("event"), entry["attempt"], entry["epoch"], entry.get("lead_in")) for entry in history]
    lead_in, over = [(None, 1, 1, True), (None, 1, 2, True)], ("lead-in over", 1, 2, None)
    assert told == [*lead_in, over, *[(None, 2, epoch, False) for epoch in (1, 2, 3)]]
    assert [entry["epoch"] for entry in last_attempt(tmp_path)] == [1, 2, 3]
    assert history[0]["validation_objective"] == pytest.approx(history[0]["validation_reconstruction"])


def test_progress_and_log_count_the_epochs_of_both():
    steps = []
    trainer = new_trainer(**ARGUMENTS, log=lambda metrics, epoch: steps.append(epoch))
    *progress, _ = trainer.steps(TRAIN, VAL)
    assert steps == [1, 2, 3, 4, 5]
    assert [each.images for each in progress] == sorted(each.images for each in progress)
    assert {each.total for each in progress} == {5 * len(TRAIN)}
    assert progress[-1].images == 5 * len(TRAIN)
    assert max(each.epoch for each in progress) == 5


def test_patience_ends_it_early_and_snapshots_are_of_the_rest_alone(tmp_path):
    arguments = {**ARGUMENTS, "lead_in": 9, "lr": 0.05, "patience": 1, "snapshot_every": 1}
    detector = new_trainer(out=tmp_path, **arguments).fit(TRAIN, VAL)
    lead_in = [entry for entry in history_of(tmp_path) if entry.get("lead_in")]
    assert len(lead_in) < 9
    snapshots = sorted(path.name for path in tmp_path.glob("epoch-*"))
    assert snapshots == [f"epoch-{epoch:04d}.safetensors" for epoch in range(1, detector.training["epochs"] + 1)]


def test_a_dead_lead_in_starts_over_as_a_whole(tmp_path):
    new_trainer(dead_model(), out=tmp_path, **{**ARGUMENTS, "lead_in": 4}).fit(TRAIN, VAL)
    events = [(entry["event"], entry["attempt"]) for entry in history_of(tmp_path) if "event" in entry]
    assert events == [("restart", 1), ("lead-in over", 2)]


def test_a_dead_start_after_it_leaves_the_code_alone(tmp_path, monkeypatch):
    found = iter([None] * 2 + ["nothing was learnt"] + [None] * 9)  # looked for from the third epoch on
    monkeypatch.setattr("gradcon_ext.training.loop.symptom", lambda *arguments: next(found))
    arguments = {**ARGUMENTS, "lead_in": 4, "epochs": 4}
    led = new_trainer(out=tmp_path, **arguments).fit(TRAIN, VAL).model.state_dict()
    events = [(entry["event"], entry["attempt"]) for entry in history_of(tmp_path) if "event" in entry]
    free = new_trainer(alpha=0.0, epochs=4).fit(TRAIN, VAL).model.state_dict()
    assert ("lead-in over", 1) in events
    assert ("restart", 2) in events
    assert same(parts_of(led, False), parts_of(free, False))


def test_a_run_is_resumed_with_the_same_lead_in_alone(tmp_path):
    new_trainer(out=tmp_path, **ARGUMENTS).fit(TRAIN, VAL)
    for lead_in in (0, 3):
        with pytest.raises(ValueError, match=f"lead_in = 2, not {lead_in}"):
            new_trainer(out=tmp_path, **{**ARGUMENTS, "lead_in": lead_in}).fit(TRAIN, VAL, resume=True)


def test_a_checkpoint_of_an_earlier_version_had_none(tmp_path):
    new_trainer(out=tmp_path, epochs=2).fit(TRAIN, VAL)
    tensors, facts = read_tensors(tmp_path / CHECKPOINT, "checkpoint", 1)
    del facts["settings"]["lead_in"], facts["leads_in"]
    write_tensors(tmp_path / CHECKPOINT, "checkpoint", 1, tensors, facts)
    with pytest.raises(ValueError, match="lead_in = 0, not 1"):
        new_trainer(out=tmp_path, epochs=3, lead_in=1).fit(TRAIN, VAL, resume=True)
    assert new_trainer(out=tmp_path, epochs=3).fit(TRAIN, VAL, resume=True).training["epochs"] == 3


class Linear(nn.Module):
    """An autoencoder of two linear layers between images and code, and two more on the way back."""

    loss = staticmethod(squared_error)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 16), nn.Linear(16, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 64))

    def forward(self, images):
        return self.decoder(self.encoder(images.flatten(1))).view_as(images)


def with_shared_weight():
    model = Linear()
    model.decoder[0].weight = model.encoder[1].weight
    return model


def with_shared_layer():
    model = Linear()
    model.decoder[0] = model.encoder[1]
    return model


class Reassembled(Linear):
    """Has its decoder in parts, which it puts together when it is asked for."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = self.decoder
        del self._modules["decoder"]

    @property
    def decoder(self):
        return nn.Sequential(self.inner, self.outer)


class Nested(nn.Module):
    """Has its decoder within another module."""

    loss = staticmethod(squared_error)

    def __init__(self):
        super().__init__()
        parts = Linear()
        self.network = nn.Sequential(parts.encoder, parts.decoder)

    @property
    def decoder(self):
        return self.network[1]

    def forward(self, images):
        return self.network(images.flatten(1)).view_as(images)


@pytest.mark.parametrize(
    ("new", "constrained", "code"),
    [
        (with_shared_weight, "decoder.1.weight", ["encoder.0.weight", "encoder.1.weight", "encoder.1.bias"]),
        (with_shared_layer, "decoder.1.weight", ["encoder.0.weight", "encoder.1.weight", "encoder.1.bias"]),
        (Reassembled, "outer.weight", ["encoder.0.weight", "encoder.1.weight"]),
        (Nested, "network.1.1.weight", ["network.0.0.weight", "network.0.1.weight"]),
    ],
)
def test_the_code_is_kept_whatever_the_decoder_shares_and_wherever_it_is(new, constrained, code):
    torch.manual_seed(0)
    start = new()
    led = new_trainer(copy.deepcopy(start), layers=[constrained], **ARGUMENTS).fit(TRAIN, VAL).model.state_dict()
    unconstrained = {"layers": [constrained], "alpha": 0.0, "epochs": 2}
    free = new_trainer(copy.deepcopy(start), **unconstrained).fit(TRAIN, VAL).model.state_dict()
    assert [name for name in code if not torch.equal(led[name], free[name])] == []
    assert not torch.equal(led[constrained], free[constrained])


class Scaled(Linear):
    """Has a factor that nothing draws anew."""

    def __init__(self):
        super().__init__()
        self.decoder.append(nn.Module())
        self.decoder[2].factor = nn.Parameter(torch.ones(()))
        self.decoder[2].forward = lambda images: images * self.decoder[2].factor


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1)), {"layers": ["0.weight"]}, "a module named 'decoder', got a Sequ"),
        (ConvAutoencoder(1, 8, 4), {"layers": ["encoder.0.weight"]}, "'encoder.0.weight' is not only its own"),
        (with_shared_weight(), {}, "'decoder.0.weight' is not only its own"),
        (with_shared_layer(), {"layers": ["encoder.1.weight"]}, "'encoder.1.weight' is not only its own"),
        (Scaled(), {}, r"anew, and decoder.2 \(Module\) has no reset_parameters"),
        (ConvAutoencoder(1, 8, 4), {"lead_in": -1}, "lead_in must be an integer of at least 0, got -1"),
        (ConvAutoencoder(1, 8, 4), {"lead_in": 1.0}, "lead_in must be an integer of at least 0, got 1.0"),
        (ConvAutoencoder(1, 8, 4), {"schedule": "linear", "warmup": 2}, "warmup=2 leaves none of 2 epochs"),
    ],
)
def test_what_cannot_be_led_in_is_refused_at_once(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        new_trainer(model, **{**ARGUMENTS, **arguments}).fit(TRAIN, VAL)
