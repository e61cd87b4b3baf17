from __future__ import annotations

import json
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcon_ext.losses import VariationalOutput, evidence_bound, reconstruction_of, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder, build, fitting_depth

MODELS = (ConvAutoencoder, ConvVariationalAutoencoder)


def sizes_through(layers, images):
    sizes = [images.shape[2:]]
    for layer in layers:
        images = layer(images)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            sizes.append(images.shape[2:])
    return sizes, images


def test_at_28x28_all_sizes_are_the_published_ones():
    model = ConvAutoencoder()
    encoder_sizes, latent = sizes_through(model.encoder, torch.rand(2, 1, 28, 28))
    decoder_sizes, _ = sizes_through(model.decoder, latent)
    assert encoder_sizes == [(size, size) for size in (28, 15, 8, 5, 3)]
    assert decoder_sizes == [(size, size) for size in (3, 4, 8, 14, 28)]


def test_at_28x28_all_layers_are_the_published_ones():
    model = ConvAutoencoder(channels=3)
    convolutions = [layer for layer in model.encoder if isinstance(layer, nn.Conv2d)]
    transposed = [layer for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in convolutions] == [3, 32, 32, 64]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 64, 64]
    assert [layer.in_channels for layer in transposed] == [64, 64, 32, 32]
    assert [layer.out_channels for layer in transposed] == [64, 32, 32, 3]
    assert [layer.padding for layer in transposed] == [(2, 2), (1, 1), (2, 2), (1, 1)]
    for layer in (*convolutions, *transposed):
        assert (layer.kernel_size, layer.stride) == ((4, 4), (2, 2))
        assert layer.output_padding == (0, 0)
    assert [type(layer) for layer in model.decoder][1::2] == [nn.ReLU, nn.ReLU, nn.ReLU, nn.Sigmoid]


def test_the_variational_code_has_as_many_features_as_the_latent_image():
    model = ConvVariationalAutoencoder()
    for layer in (model.mean, model.log_variance, model.expansion):
        assert (layer.in_features, layer.out_features) == (576, 576)


@pytest.mark.parametrize(
    ("size", "paddings", "output_paddings"),
    [
        (27, [2, 1, 2, 2], [0, 0, 0, 1]),
        (32, [2, 1, 1, 1], [0, 0, 0, 0]),
        (64, [2, 1, 1, 1], [0, 0, 0, 0]),
    ],
)
def test_at_other_sizes_as_few_paddings_as_can_be_depart_from_the_published(size, paddings, output_paddings):
    layers = ConvAutoencoder(size=(size, 28), width=1).decoder[::2]
    assert [layer.padding for layer in layers] == list(zip(paddings, [2, 1, 2, 1], strict=True))
    assert [layer.output_padding for layer in layers] == [(rows, 0) for rows in output_paddings]


@pytest.mark.parametrize("model_type", MODELS)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.integers(1, 4),
    samples=st.integers(0, 2),
)
@settings(max_examples=40)
def test_images_of_any_size_are_reconstructed_in_their_size(model_type, height, width, channels, samples):
    model = model_type(channels, (height, width), width=1)
    images = torch.rand(samples, channels, height, width)
    reconstruction = reconstruction_of(model(images))
    assert reconstruction.shape == images.shape
    assert ((reconstruction >= 0) & (reconstruction <= 1)).all()


def test_a_variational_output_has_one_code_a_sample():
    output = ConvVariationalAutoencoder(size=20, width=4)(torch.rand(3, 1, 20, 20))
    assert isinstance(output, VariationalOutput)
    assert output.mean.shape == output.log_variance.shape == (3, 8 * 3 * 3)


def test_codes_are_sampled_in_training_mode_only():
    torch.manual_seed(0)  # some models this small let nothing through
    model, images = ConvVariationalAutoencoder(size=8, width=4), torch.rand(3, 1, 8, 8)
    first, second = model(images), model(images)
    assert not torch.equal(first.reconstruction, second.reconstruction)
    assert torch.equal(first.mean, second.mean)
    model.eval()
    assert torch.equal(model(images).reconstruction, model(images).reconstruction)


def test_sampled_codes_have_the_mean_and_variance_they_should():
    model = ConvVariationalAutoencoder(size=1, width=1)
    nn.init.constant_(model.mean.bias, 3.0)
    nn.init.constant_(model.log_variance.bias, 2.0)
    for layer in (model.mean, model.log_variance):
        nn.init.zeros_(layer.weight)
    codes = []
    model.expansion.register_forward_pre_hook(lambda _, arguments: codes.append(arguments[0].detach()))
    torch.manual_seed(0)
    model(torch.rand(20000, 1, 1, 1))
    assert codes[0].mean() == pytest.approx(3.0, abs=0.1)
    assert codes[0].var().log() == pytest.approx(2.0, abs=0.1)


def test_each_model_carries_its_loss():
    assert ConvAutoencoder.loss is squared_error
    assert ConvVariationalAutoencoder().loss is evidence_bound


@pytest.mark.parametrize("model_type", MODELS)
def test_a_model_is_built_again_from_its_architecture(model_type):
    model = model_type(channels=2, size=(9, 12), width=3)
    copy = build(json.loads(json.dumps(model.architecture)))
    assert type(copy) is model_type
    assert copy.architecture == model.architecture
    copy.load_state_dict(model.state_dict())
    images = torch.rand(2, 2, 9, 12)
    assert torch.equal(
        reconstruction_of(copy.eval()(images)),
        reconstruction_of(model.eval()(images)),
    )


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({}, "got None"),
        ({"name": "Perceptron"}, "ConvAutoencoder.*got 'Perceptron'"),
        ({"name": ["ConvAutoencoder"]}, "got "),
        ({"name": "ConvAutoencoder", "layers": 3}, "ConvAutoencoder .*layers"),
        ({"name": "ConvAutoencoder", "width": 0}, "positive.* 0$"),
    ],
)
def test_an_unknown_architecture_is_an_error(architecture, message):
    with pytest.raises(ValueError, match=message):
        build(architecture)


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": 0},
        {"channels": 1.0},
        {"width": -1},
        {"depth": 0},
        {"depth": 2.0},
        {"size": 0},
        {"size": (28, 0)},
        {"size": (28, 28, 28)},
        {"size": (28.0, 28)},
    ],
)
def test_sizes_must_be_positive_integers(arguments):
    with pytest.raises(ValueError, match="positive"):
        ConvAutoencoder(**arguments)


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 28, 27), (1, 28, 28), (2, 1, 1, 28, 28)])
def test_images_of_another_shape_are_an_error(model_type, shape):
    with pytest.raises(ValueError, match=rf"\(N, 1, 28, 28\).*{re.escape(str(shape))}"):
        model_type()(torch.rand(shape))


@pytest.mark.parametrize("width", [2**62, 10**30])
def test_a_width_beyond_counting_is_an_error(width):
    with pytest.raises(ValueError, match=rf"^ConvAutoencoder .*{width}[^\n]*$"):
        build({"name": "ConvAutoencoder", "width": width})


@pytest.mark.parametrize(("size", "depth"), [(8, 4), (28, 4), (33, 4), (34, 5), (64, 5), (256, 7), (512, 8)])
def test_a_fitting_depth_keeps_the_code_as_large_as_that_of_28_pixels(size, depth):
    assert fitting_depth(size, size) == fitting_depth(size, 1) == depth
    with torch.device("meta"):
        model = ConvAutoencoder(1, size, width=4, depth=depth)
        assert model.latent_shape == model.encoder(torch.empty(1, 1, size, size)).shape[1:]
    assert model.latent_shape[0] == 8
    assert model.latent_shape[1] <= 3


@given(model_type=st.sampled_from(MODELS), height=st.integers(1, 90), width=st.integers(1, 90), depth=st.integers(1, 8))
@settings(max_examples=40)
def test_models_of_any_depth_return_to_the_size_and_are_built_again(model_type, height, width, depth):
    with torch.device("meta"):
        model = model_type(1, (height, width), width=1, depth=depth)
        assert reconstruction_of(model(torch.empty(2, 1, height, width))).shape == (2, 1, height, width)
        assert [type(layer) for layer in model.encoder].count(nn.Conv2d) == depth
        assert build(json.loads(json.dumps(model.architecture))).architecture == model.architecture


def test_the_published_depth_is_not_named():
    assert "depth" not in ConvAutoencoder(depth=4).architecture
    assert ConvAutoencoder(depth=5).architecture["depth"] == 5


def test_tiles_of_feature_maps_have_one_code_each_and_any_value():
    model = FeatureAutoencoder(channels=5, size=(2, 3), width=4)
    tiles = 100 * torch.randn(7, 5, 2, 3)
    assert model.encoder(tiles).shape == (7, *model.latent_shape) == (7, 4, 1, 1)
    assert model(tiles).shape == tiles.shape
    assert model(tiles).min() < 0
    assert model(tiles).max() > 1
    assert build(json.loads(json.dumps(model.architecture))).architecture == model.architecture


def test_a_class_of_ones_own_has_a_name_of_its_own():
    class Own(ConvAutoencoder):
        pass

    model = Own(size=8, width=1)
    assert model.architecture["name"] == "Own"
    assert model(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    with pytest.raises(ValueError, match="'Own'"):
        build(model.architecture)


@pytest.mark.parametrize("model_type", [*MODELS, FeatureAutoencoder])
def test_a_model_beyond_any_memory_is_refused_when_it_is_made(model_type):
    with pytest.raises(ValueError, match="weights"):
        model_type(channels=10**7, size=64, width=10**5)
