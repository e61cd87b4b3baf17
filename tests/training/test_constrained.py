from __future__ import annotations

import pytest
from torch import nn

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.constrained import constrained_layers


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 2)
        self.decoder = nn.Sequential(
            nn.Linear(2, 8),
            nn.BatchNorm1d(8),
            nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 3, 2)),
            nn.ConvTranspose1d(3, 1, 2),
            nn.Flatten(),
            nn.Linear(4, 4, bias=False),
        )


@pytest.mark.parametrize("model", [ConvAutoencoder(width=2), ConvVariationalAutoencoder(width=2)])
def test_the_layers_of_the_decoder_are_constrained_by_default(model):
    layers = constrained_layers(model)
    assert list(layers) == [f"decoder.{index}.weight" for index in (0, 2, 4, 6)]
    assert all(layer is model.get_submodule(name.removesuffix(".weight")) for name, layer in layers.items())


def test_layers_are_found_at_any_depth_in_the_order_of_registration():
    names = ["decoder.0.weight", "decoder.2.1.weight", "decoder.3.weight", "decoder.5.weight"]
    assert list(constrained_layers(Custom())) == names


def test_a_decoder_may_be_a_single_layer():
    model = nn.Module()
    model.decoder = nn.Linear(2, 2)
    assert constrained_layers(model) == {"decoder.weight": model.decoder}


def test_named_layers_come_in_the_order_of_their_names():
    model = ConvAutoencoder(width=2)
    layers = constrained_layers(model, ["decoder.6.weight", "encoder.0.weight"])
    assert list(layers.items()) == [
        ("decoder.6.weight", model.decoder[6]),
        ("encoder.0.weight", model.encoder[0]),
    ]
    linear = nn.Linear(2, 2)
    assert constrained_layers(linear, ["weight"]) == {"weight": linear}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["decoder.9.weight"], "'decoder.9.weight'.*'decoder.0.weight'"),
        (["decoder.0"], "'decoder.0'"),
        (["decoder.1.weight"], "'decoder.1.weight'.* BatchNorm1d"),
        (["decoder.0.bias"], "'decoder.0.bias'.* Linear.*weight.*'Linear'"),
        (["decoder.0.weight", "decoder.0.weight"], "each once"),
        ([], r"one or more.* \[\]"),
    ],
)
def test_names_that_are_no_weights_of_such_layers_are_an_error(names, message):
    with pytest.raises(ValueError, match=message):
        constrained_layers(Custom(), names)


def test_a_model_without_a_decoder_needs_names():
    with pytest.raises(ValueError, match="Linear .*'decoder'"):
        constrained_layers(nn.Linear(2, 2))


def test_a_decoder_without_such_layers_is_an_error():
    model = nn.Module()
    model.decoder = nn.Sequential(nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="no layer of a kind"):
        constrained_layers(model)
