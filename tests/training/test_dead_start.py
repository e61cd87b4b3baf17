from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

from gradcon_ext.losses import reconstruction_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.dead_start import redraw, symptom
from gradcon_ext.training.epoch import TrainingMetrics, ValidationMetrics

CPU = torch.device("cpu")
GREY = torch.full((1, 8, 8), 0.5)


def metrics(reconstruction, silent=(), mean_image=0.05, black_image=0.13, white_image=0.8):
    cosine = [0.5, 0.5]
    return (
        TrainingMetrics(reconstruction, 0.0, cosine, list(silent)),
        ValidationMetrics(reconstruction, 0.0, cosine, mean_image, black_image, white_image),
    )


@pytest.mark.parametrize("reconstruction", [0.0495, 0.05, 0.13])
def test_no_gradient_and_nothing_learned_is_dead(reconstruction):
    found = symptom(*metrics(reconstruction, ["decoder.0.weight", "decoder.0.bias"]), reconstruction, reach=0.001)
    assert re.search(r"\b2 of .*decoder\.0\.weight", found)


def test_no_gradient_in_a_model_that_beats_the_mean_image_is_not_dead():
    assert symptom(*metrics(0.04, ["decoder.0.weight"]), 0.04, reach=1.0) is None


@pytest.mark.parametrize("reconstruction", [0.05, 0.055, 0.1])
def test_images_that_are_hard_to_reconstruct_are_not_dead(reconstruction):
    assert symptom(*metrics(reconstruction), reconstruction, reach=1.0) is None


@pytest.mark.parametrize(("reconstruction", "colour"), [(0.125, "black"), (0.135, "black"), (0.79, "white")])
def test_blank_reconstructions_are_dead_once_the_weights_could_have_moved(reconstruction, colour):
    assert f"{colour} image" in symptom(*metrics(reconstruction), reconstruction, reach=0.25)
    assert symptom(*metrics(reconstruction), reconstruction, reach=0.15) is None


def test_the_best_epoch_decides_what_is_blank():
    assert symptom(*metrics(0.125), 0.04, reach=1.0) is None


@pytest.mark.parametrize("black_image", [0.0, 1e-6])
def test_images_that_are_nearly_blank_themselves_are_not_dead(black_image):
    assert symptom(*metrics(1e-4, [], 0.0, black_image), 1e-4, reach=1.0) is None


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_all_parameters_are_drawn_anew_by_seed(model_type):
    model = model_type(1, 8, width=2)
    twin = copy.deepcopy(model)
    redraw(model, CPU, 7, GREY)
    assert not any(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))
    redraw(twin, CPU, 7, GREY)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))
    redraw(twin, CPU, 8, GREY)
    parameters = zip(model.named_parameters(), twin.parameters(), strict=True)
    assert [name for (name, p), q in parameters if torch.equal(p, q)] == ["decoder.6.bias"]  # it follows the images


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_the_next_attempt_begins_as_bright_as_the_images(model_type):
    model, mean_image = model_type(3, 8), torch.rand(3, 8, 8) * torch.tensor([0.02, 0.5, 0.9])[:, None, None]
    redraw(model, CPU, 7, mean_image)
    reconstruction = reconstruction_of(model.eval()(torch.rand(5, 3, 8, 8)))
    torch.testing.assert_close(reconstruction.mean((0, 2, 3)), mean_image.mean((1, 2)), rtol=0.2, atol=0.01)


def test_what_is_not_trained_and_what_is_spared_stays_as_it_is():
    model = ConvAutoencoder(1, 8, width=2)
    model.encoder[0].requires_grad_(False)
    model.encoder[2].weight.requires_grad_(False)  # its bias is trained
    model.decoder[6].bias.requires_grad_(False)  # by which reconstructions would be as bright as the images
    before = copy.deepcopy(model.state_dict())
    redraw(model, CPU, 7, GREY, [model.decoder[4]])
    kept = [name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])]
    whole = [f"{layer}.{parameter}" for layer in ("encoder.0", "decoder.4") for parameter in ("weight", "bias")]
    assert sorted(kept) == sorted([*whole, "encoder.2.weight", "decoder.6.bias"])


def test_redrawing_leaves_the_random_numbers_of_the_caller_alone():
    model, state = nn.Linear(2, 2), torch.get_rng_state()
    redraw(model, CPU, 7, GREY)
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_that_cannot_be_drawn_anew_are_named():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    with pytest.raises(RuntimeError, match=r"1 \(Scale\) .*reset_parameters"):
        redraw(nn.Sequential(nn.Linear(2, 2), Scale()), CPU, 7, GREY)
