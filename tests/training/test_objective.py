import copy
import re

import pytest
import torch
from torch import nn

from gradcon_ext.losses import VariationalOutput, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.objective import Objective
from gradcon_ext.training.seeding import seeded
from support.training_runs import TRAIN, VAL, new_model, new_state, new_trainer, plain_loop, stripes


class Sized(ConvVariationalAutoencoder):
    """A subclass that changes nothing of how it computes."""


class Doubled(ConvVariationalAutoencoder):
    """A subclass that draws its code in another way, and inherits a promise that it does not keep."""

    def forward(self, images):
        features = self._encode(images).flatten(1)
        mean, log_variance = self.mean(features), self.log_variance(features)
        code = mean
        if self.training:
            code = mean + 2 * torch.randn_like(mean) * (0.5 * log_variance).exp()
        latent = self.expansion(code).unflatten(1, self.latent_shape)
        return VariationalOutput(self.decoder(latent), mean, log_variance)


class Unpromising(ConvVariationalAutoencoder):
    reparameterized = False


def frozen(model):
    model.decoder[0].bias.requires_grad_(False)
    model.encoder[0].requires_grad_(False)
    return model


def by_autograd(loss):
    """The same loss under another name, which the fused engine does not know."""
    return lambda output, images: loss(output, images)


@pytest.mark.parametrize("average", ["objective", "primal"])
@pytest.mark.parametrize(
    ("model_type", "change"),
    [
        (ConvAutoencoder, lambda model: model),
        (ConvAutoencoder, frozen),
        (ConvVariationalAutoencoder, lambda model: model),
        (ConvVariationalAutoencoder, frozen),
        (Sized, lambda model: model),
    ],
    ids=["CAE", "frozen CAE", "VAE", "frozen VAE", "subclass of VAE"],
)
def test_training_fused_is_training_by_automatic_differentiation(model_type, change, average):
    arguments = {"alpha": 0.5, "epochs": 2, "average": average}
    fused, other = (change(new_model(model_type).double()) for _ in range(2))
    fused_trainer = new_trainer(fused, **arguments)
    other_trainer = new_trainer(other, loss=by_autograd(model_type.loss), **arguments)
    left, right = (trainer.fit(TRAIN[:37], VAL) for trainer in (fused_trainer, other_trainer))
    assert (fused_trainer.engine.name, other_trainer.engine.name) == ("fused chain", "any model")
    for name, weight in left.model.state_dict().items():
        torch.testing.assert_close(weight, right.model.state_dict()[name], rtol=1e-9, atol=1e-9, msg=name)
    for name, reference in left.references.items():
        torch.testing.assert_close(reference, right.references[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("chance", [0.5, 0.0])
def test_dropout_is_trained_by_automatic_differentiation_and_right(chance):
    def make():
        model = new_model().double()
        model.encoder.append(nn.Dropout(chance))
        return model

    trainer, expected = new_trainer(make(), alpha=0.5, epochs=1), make()
    detector = trainer.fit(TRAIN, VAL)
    assert trainer.engine.name == "any model"
    assert "dropout" in trainer.engine.reason
    expected.train()
    with seeded(torch.device("cpu"), 0, 0):
        means = plain_loop(
            expected, (TRAIN[rows].double() for rows in torch.randperm(len(TRAIN)).split(8)), 0.5, "objective"
        )
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(detector.model.state_dict()[name], weight, rtol=1e-9, atol=1e-9, msg=name)
    for reference, mean in zip(detector.references.values(), means, strict=True):
        torch.testing.assert_close(reference, mean, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_model_that_no_longer_runs_raises_its_own_error():
    model = new_model()
    objective = objective_of(model)
    assert objective.engine.name == "fused chain"
    model.decoder[0].stride = (3, 3)
    images = stripes(5)
    with pytest.raises(RuntimeError) as own:
        squared_error(model(images), images)
    with pytest.raises(RuntimeError, match=re.escape(str(own.value))):
        objective.forward(images)


def objective_of(model, loss=None, precision="float32", images=None):
    model.train()
    state = new_state(model)
    objective = Objective(model, loss or type(model).loss, state.constraint, (1, 8, 8), precision)
    images = stripes(5, seed=3).to(next(model.parameters()).dtype) if images is None else images
    objective.forward(images)
    objective.backward()
    return objective


def with_(change):
    def make():
        model = new_model()
        change(model)
        return model

    return make


def of_code(change):
    def make():
        model = new_model(ConvVariationalAutoencoder)
        change(model)
        return model

    return make


def projecting(self, images):
    with torch.no_grad():
        self.decoder[0].weight.clamp_(min=-0.05)
    return ConvAutoencoder.forward(self, images)


def projecting_data(self, images):
    if images.device.type != "meta":
        self.decoder[0].weight.data.clamp_(min=-0.05)
    return ConvAutoencoder.forward(self, images)


def by_batch_size(self, images):
    return ConvAutoencoder.forward(self, images if len(images) > 4 else images.tanh())


def only_in_training(self, images):
    return ConvAutoencoder.forward(self, images.tanh() if self.training else images)


def counting(self, images):
    self.calls = getattr(self, "calls", 0) + 1
    return ConvAutoencoder.forward(self, images)


def on_a_real_device(self, images):
    return ConvAutoencoder.forward(self, images if images.device.type == "meta" else images.tanh())


def own(forward):
    def make():
        model = new_model()
        model.__class__ = type("Own", (ConvAutoencoder,), {"forward": forward})
        return model

    return make


def unaware(model_type):
    return lambda: new_model(model_type)


REFUSED = {
    "loss": (new_model, {"loss": by_autograd(squared_error)}, "loss is neither"),
    "bfloat16": (new_model, {"precision": "bfloat16"}, "bfloat16"),
    "dropout": (with_(lambda m: m.encoder.append(nn.Dropout(0.5))), {}, "dropout"),
    "batch norm": (with_(lambda m: m.encoder.insert(1, nn.BatchNorm2d(4))), {}, "num_batches_tracked"),
    "hook": (with_(lambda m: m.register_forward_hook(lambda *_: None)), {}, "has hooks"),
    "hook of a weight": (
        with_(lambda m: m.decoder[0].weight.register_hook(lambda g: g * 2)),
        {},
        "a parameter has hooks",
    ),
    "hook after accumulation": (
        with_(lambda m: m.decoder[0].weight.register_post_accumulate_grad_hook(lambda p: None)),
        {},
        "a parameter has hooks",
    ),
    "other in training": (own(only_in_training), {}, "training mode"),
    "projected weights": (own(projecting), {}, "decoder.0.weight"),
    "projected data": (own(projecting_data), {}, "device"),
    "by batch size": (own(by_batch_size), {}, "batch of 1 "),
    "counting": (own(counting), {}, "changes the model"),
    "by device": (own(on_a_real_device), {}, "device"),
    "no promise": (unaware(Unpromising), {}, "reparameterized"),
    "a promise not kept": (unaware(Doubled), {}, "differ"),
    "variational with dropout": (
        of_code(lambda m: m.encoder.append(nn.Dropout(0.5))),
        {},
        "encoder.8 computes something",
    ),
    "variational with batch norm": (
        of_code(lambda m: m.encoder.insert(1, nn.BatchNorm2d(4))),
        {},
        "encoder.1 computes something",
    ),
    "softmax": (with_(lambda m: m.encoder.append(nn.Softmax(1))), {}, "softmax"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_fused_says_why_and_is_differentiated_automatically(name):
    make, arguments, reason = REFUSED[name]
    model = make()
    other = copy.deepcopy(model)
    torch.manual_seed(4)
    objective = objective_of(model, **arguments)
    assert objective.engine.name == "any model"
    assert reason in objective.engine.reason
    torch.manual_seed(4)
    loss = arguments.get("loss", type(model).loss)
    expected = objective_of(other, by_autograd(loss), arguments.get("precision", "float32"))
    assert expected.engine.name == "any model"
    for (key, weight), twin in zip(model.named_parameters(), other.parameters(), strict=True):
        if name != "hook of a weight":  # which a copy lacks
            torch.testing.assert_close(weight.grad, twin.grad, msg=key)


def test_a_constrained_layer_before_the_code_is_not_fused():
    model = new_model(ConvVariationalAutoencoder)
    constraint = GradientConstraint({"encoder.0.weight": model.encoder[0].weight}, 0.1)
    engine = Objective(model, type(model).loss, constraint, (1, 8, 8), "float32").engine
    assert "comes before the code" in engine.reason


def test_a_model_elsewhere_is_not_fused():
    model = new_model().to("meta")
    constraint = GradientConstraint({"decoder.0.weight": model.decoder[0].weight}, 0.1)
    assert "it is on meta" in Objective(model, type(model).loss, constraint, (1, 8, 8), "float32").engine.reason


def test_a_constrained_parameter_that_was_replaced_is_not_fused():
    model = new_model()
    constraint = GradientConstraint({"decoder.0.weight": model.decoder[0].weight}, 0.1)
    model.decoder[0].weight = nn.Parameter(model.decoder[0].weight.detach().clone())
    engine = Objective(model, type(model).loss, constraint, (1, 8, 8), "float32").engine
    assert "not the parameter any more" in engine.reason


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_looking_twice_at_the_first_steps_changes_no_random_number(model_type):
    draws = []
    for loss in (model_type.loss, by_autograd(model_type.loss)):
        torch.manual_seed(7)
        objective_of(new_model(model_type), loss)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m.decoder[1], "__class__", nn.Tanh),
        lambda m: m.decoder.append(nn.Tanh()),
        lambda m: m.register_forward_hook(lambda _m, _a, out: out * 0.9),
        lambda m: setattr(m, "forward", lambda x: m.decoder(m.encoder(x) * 2)),
        lambda m: m.decoder[2].weight.register_hook(lambda g: g * 3),
        lambda m: m.encoder[0].requires_grad_(False),
    ],
)
def test_a_change_between_steps_is_noticed(change):
    images = stripes(6, seed=5)
    left, right = new_model(), new_model()
    fused, other = objective_of(left), objective_of(right, by_autograd(squared_error))
    assert fused.engine.name == "fused chain"
    for model, objective in ((left, fused), (right, other)):
        change(model)
        model.zero_grad()
        objective.forward(images)
        objective.backward()
    assert other.engine.name == "any model"
    for (name, weight), twin in zip(left.named_parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, twin.grad, rtol=1e-3, atol=1e-7, msg=name)
