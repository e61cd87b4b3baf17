from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import reconstruction_of, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.trainer import Trainer
from support.training_runs import (
    TRAIN,
    VAL,
    assert_same_detector,
    history_of,
    new_model,
    new_trainer,
    plain_loop,
    record_batches,
    stripes,
)

MODELS = (ConvAutoencoder, ConvVariationalAutoencoder)


@pytest.mark.parametrize("average", ["objective", "primal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_twenty_steps_equal_a_plain_double_backward_loop(average, dtype):
    model, twin = new_model().to(dtype), new_model().to(dtype)
    batches = record_batches(model)
    detector = new_trainer(model, alpha=0.1, epochs=1, average=average).fit(stripes(160), VAL)
    assert len(batches) == 20

    means = plain_loop(twin, batches, 0.1, average)
    for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)
    for reference, mean in zip(detector.references.values(), means, strict=True):
        torch.testing.assert_close(reference, mean, rtol=0, atol=1e-6)
    assert detector.count == 20


def test_the_images_of_an_epoch_are_all_of_them_in_an_order_of_its_own():
    model = new_model()
    batches = record_batches(model)
    new_trainer(model, epochs=2, batch_size=16).fit(TRAIN, VAL)
    assert [len(batch) for batch in batches] == [16, 16, 8, 16, 16, 8]
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
    assert not torch.equal(first, second)
    for order in (first, second):
        assert not torch.equal(order, TRAIN)
        torch.testing.assert_close(order.flatten(1).sum(1).sort()[0], TRAIN.flatten(1).sum(1).sort()[0])


@pytest.mark.parametrize("model_type", MODELS)
def test_the_same_arguments_give_the_same_bits(model_type, tmp_path):
    first = new_trainer(new_model(model_type), out=tmp_path / "first").fit(TRAIN, VAL)
    second_model = new_model(model_type)
    torch.manual_seed(98)  # the caller's random numbers make no difference
    second = new_trainer(second_model, out=tmp_path / "second").fit(TRAIN, VAL)
    assert_same_detector(first, second)
    assert history_of(tmp_path / "first") == history_of(tmp_path / "second")
    third = new_trainer(new_model(model_type), seed=1).fit(TRAIN, VAL)
    assert not torch.equal(first.references["decoder.0.weight"], third.references["decoder.0.weight"])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "loss", [None, lambda output, images: squared_error(output, images)], ids=["fused", "autograd"]
)
def test_the_mode_of_the_caller_makes_no_difference(loss, mode):
    expected = new_trainer(new_model(ConvAutoencoder), loss=loss, epochs=1)
    trainer = new_trainer(new_model(ConvAutoencoder), loss=loss, epochs=1)
    detector = expected.fit(TRAIN, VAL)
    with mode():
        assert_same_detector(trainer.fit(TRAIN + 0, VAL + 0), detector)
        assert torch.is_grad_enabled() is False
    assert trainer.engine.name == expected.engine.name == ("fused chain" if loss is None else "any model")


def test_a_model_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = new_model(ConvAutoencoder)
        with pytest.raises(ValueError, match="inference_mode"):
            new_trainer(model).fit(TRAIN, VAL)


def test_the_random_numbers_of_the_caller_are_left_alone():
    model = new_model(ConvVariationalAutoencoder)
    state = torch.get_rng_state()
    new_trainer(model, epochs=1).fit(TRAIN, VAL)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_learns_and_its_gradients_align(tmp_path):
    new_trainer(new_model(width=8), epochs=12, lr=0.01, out=tmp_path).fit(TRAIN.repeat(2, 1, 1, 1), VAL)
    history = history_of(tmp_path)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["validation_reconstruction"] < history[-1]["validation_mean_image"]
    assert np.mean(history[-1]["cosine"]) > 0.2


def test_every_kind_of_images_gives_the_same_detector():
    pixels = (TRAIN * 255).round().to(torch.uint8)
    images = pixels / 255
    expected = new_trainer(epochs=1).fit(images, VAL)

    class Pairs(Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], 0

    for train in (pixels, pixels[:, 0].numpy(), images.double().numpy(), TensorDataset(images), Pairs()):
        assert_same_detector(expected, new_trainer(epochs=1).fit(train, VAL))


def fit_with_one_good_validation(epochs, good_epoch, **arguments):
    """Train with reconstructions that are black in all validations but one."""
    model = new_model()
    validations = []

    def spoil(model, arguments, output):
        if not model.training:
            validations.append(output)
            return output * (len(validations) in (2 * good_epoch - 1, 2 * good_epoch))  # two batches each

    hook = model.register_forward_hook(spoil)
    detector = new_trainer(model, epochs=epochs, **arguments).fit(TRAIN, VAL)
    hook.remove()
    return detector


def test_the_detector_is_that_of_the_best_validation_objective(tmp_path):
    detector = fit_with_one_good_validation(epochs=5, good_epoch=3, out=tmp_path)
    assert [entry["best"] for entry in history_of(tmp_path)] == [True, False, True, False, False]
    assert detector.training["best_epoch"] == 3
    last = fit_with_one_good_validation(epochs=3, good_epoch=3)
    assert detector.count == last.count == 15
    for name, tensor in last.model.state_dict().items():
        assert torch.equal(detector.model.state_dict()[name], tensor)
    for name, reference in last.references.items():
        assert torch.equal(detector.references[name], reference)


def test_the_detector_is_ready_to_score():
    model = new_model()
    detector = new_trainer(model, epochs=1).fit(TRAIN, VAL)
    assert detector.model is model
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert detector.alpha == 0.12
    assert detector.preprocessing == {"channels": 1, "size": [8, 8]}
    assert detector.training["alpha"] == 0.03
    assert detector.training["layers"] == list(detector.references)


def test_the_history_says_all_of_every_epoch(tmp_path):
    new_trainer(new_model(ConvVariationalAutoencoder), out=tmp_path, epochs=2).fit(TRAIN, VAL)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["epoch"], first["attempt"], first["seed"], first["best"]) == (1, 1, 0, True)
    assert second["epoch"] == 2
    for prefix in ("", "validation_"):
        assert len(second[f"{prefix}cosine"]) == 4
        assert second[f"{prefix}reconstruction"] > 0
        assert second[f"{prefix}latent"] > 0
    assert second["loss"] == pytest.approx(second["reconstruction"] + second["latent"])
    assert second["validation_objective"] == pytest.approx(
        second["validation_reconstruction"] + second["validation_latent"] - 0.03 * np.mean(second["validation_cosine"])
    )
    assert second["seconds"] > 0


def test_a_loss_that_is_not_finite_is_an_error():
    model = new_model()
    nn.init.constant_(model.encoder[0].weight, float("nan"))
    with pytest.raises(RuntimeError, match="nan .*epoch 1, step 1"):
        new_trainer(model).fit(TRAIN, VAL)


def test_a_validation_that_is_not_finite_is_an_error():
    model = new_model()

    def loss(output, images):
        return squared_error(output if model.training else output * float("inf"), images)

    with pytest.raises(RuntimeError, match="validation .*(nan|inf) .*epoch 1"):
        new_trainer(model, loss=loss).fit(TRAIN, VAL)


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64), nn.Unflatten(1, (1, 8, 8))
        )

    def forward(self, images):
        return self.layers(images)


def test_a_custom_model_is_trained_on_the_squared_error_of_named_layers(tmp_path):
    trainer = new_trainer(Custom(), layers=["layers.3.weight"], epochs=2, out=tmp_path)
    detector = trainer.fit(TRAIN, VAL)
    assert detector.training["loss"] == squared_error.__qualname__
    assert list(detector.references) == ["layers.3.weight"]
    assert reconstruction_of(detector.model(VAL)).shape == VAL.shape
    detector.save(tmp_path / "detector")


def test_a_loss_of_ones_own_is_minimised():
    def brightness(output, images):
        return squared_error(output, torch.ones_like(images))

    model = new_model()
    before = model(VAL).mean().item()
    new_trainer(model, loss=brightness, lr=0.02).fit(TRAIN, VAL)
    assert model(VAL).mean().item() > before + 0.1


def test_progress_is_shown_unless_it_is_unwanted(capsys):
    new_trainer(epochs=2, progress=True).fit(TRAIN, VAL)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "80.0/80.0" in shown
    assert "images/s" in shown
    assert "loss=" in shown
    assert "cosine=" in shown
    new_trainer(epochs=1).fit(TRAIN, VAL)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr .* 0$"),
        ({"lr": float("inf")}, "lr .* inf$"),
        ({"batch_size": 0}, "batch_size .* 0$"),
        ({"epochs": 2.0}, "epochs .* 2.0$"),
        ({"epochs": np.float64(2)}, "epochs .*2.0"),
        ({"epochs": True}, "epochs .* True$"),
        ({"batch_size": True}, "batch_size .* True$"),
        ({"lead_in": False}, "lead_in .* False$"),
        ({"patience": True}, "patience .* True$"),
        ({"seed": -1}, "seed .* -1$"),
        ({"snapshot_every": 0, "out": "."}, "snapshot_every .* 0$"),
        ({"snapshot_every": 2.5, "out": "."}, "snapshot_every .* 2.5$"),
        ({"snapshot_every": (2, 0), "out": "."}, r"snapshot_every .* \(2, 0\)$"),
        ({"snapshot_every": "ab", "out": "."}, "snapshot_every .* 'ab'$"),
        ({"snapshot_best": 5, "out": "."}, "snapshot_best .*collection.* 5$"),
        ({"snapshot_best": [1.5], "out": "."}, r"snapshot_best .* \[1.5\]$"),
        ({"snapshot_every": 1}, "snapshot_every .*`out`"),
        ({"snapshot_every": (1,)}, "snapshot_every .*`out`"),
        ({"snapshot_best": (1,)}, "snapshot_best .*`out`"),
        ({"alpha": -1.0}, "alpha .* -1.0$"),
        ({"average": "median"}, "average .*'median'"),
        ({"layers": ["decoder.9.weight"]}, "'decoder.9.weight'"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"device": "meta"}, "device 'meta'.*kernels for"),
        ({"model": nn.Linear(2, 2)}, "Linear .*'decoder'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        new_trainer(**arguments).fit(TRAIN, VAL)


def test_numbers_of_numpy_are_those_of_python(tmp_path):
    numbers = {"epochs": 3, "lead_in": 2, "batch_size": 8, "seed": 2, "patience": 2, "warmup": 1, "snapshot_every": 2}
    more = {"schedule": "linear", "snapshot_best": [1], "alpha": 0.5, "lr": 2**-7}
    in_numpy = {name: np.int64(number) for name, number in numbers.items()}
    in_numpy |= {"schedule": "linear", "snapshot_best": np.array([1]).tolist(), "alpha": np.float32(0.5)}
    in_numpy["lr"] = np.float32(2**-7)
    files = []
    for folder, arguments in ((tmp_path / "a", {**numbers, **more}), (tmp_path / "b", in_numpy)):
        detector = new_trainer(out=folder, **arguments).fit(TRAIN, np.float32(0.25) if folder.name == "b" else 0.25)
        files.append({name: fact for name, fact in detector.training.items() if name != "seconds"})
        detector.save(folder / "detector.safetensors")
        assert Detector.load(folder).training == detector.training
    assert repr(files[0]) == repr(files[1])


def test_the_constructor_only_keeps_what_it_is_given():
    model = new_model()
    arguments = {"alpha": -1, "lr": "fast", "batch_size": None, "device": "gpu", "layers": ("nothing",), "out": 3}
    trainer = Trainer(model, **arguments)
    assert trainer.model is model
    assert {name: getattr(trainer, name) for name in arguments} == arguments


def test_a_model_is_a_module():
    with pytest.raises(TypeError, match="got function"):
        Trainer(lambda images: images).fit(TRAIN, VAL)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (TRAIN[:0], VAL, "no images"),
        (TRAIN, VAL[:0], "no images"),
        (stripes(4, size=9), VAL, r"\(1, 9, 9\).*\(1, 8, 8\)"),
        (TRAIN.expand(-1, 3, -1, -1), VAL, r"\(3, 8, 8\).*\(1, 8, 8\)"),
        (TRAIN / 0, VAL, "NaN or infinite"),
        (TRAIN * 255, VAL, "floating-point.* 255"),
    ],
)
def test_images_that_do_not_fit_are_an_error_before_anything_is_written(train, val, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        new_trainer(out=tmp_path / "out").fit(train, val)
    assert not (tmp_path / "out").exists()


def test_training_and_validation_images_have_one_shape():
    with pytest.raises(ValueError, match=r"training .*\(1, 8, 8\).*validation .*\(1, 9, 9\)"):
        new_trainer(Custom(), layers=["layers.3.weight"]).fit(TRAIN, stripes(4, size=9))


def test_what_was_done_to_images_is_kept_in_the_detector():
    trainer = new_trainer(epochs=1, preprocessing={"fit": "pad", "size": [1, 1]})
    assert trainer.fit(TRAIN, VAL).preprocessing == {"fit": "pad", "channels": 1, "size": [8, 8]}


@pytest.mark.parametrize(("value", "message"), [(0.0, "alike, and black: there is"), (0.4, "alike: there is nothing")])
def test_images_that_are_all_alike_are_refused_at_once(value, message):
    images = torch.full((6, 1, 8, 8), value)
    with pytest.raises(ValueError, match=f"all 6 training images are {message}"):
        new_trainer().fit(images, VAL)


def test_a_single_image_can_be_learned_unless_it_is_black():
    assert new_trainer(epochs=1).fit(TRAIN[:1], VAL).count == 1
    with pytest.raises(ValueError, match="all 1 training images are alike, and black"):
        new_trainer(epochs=1).fit(torch.zeros_like(TRAIN[:1]), VAL)
