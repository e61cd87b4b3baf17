from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.pyramid import Pyramid, dense


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 9, 13)])
def test_down_to_a_vector_and_up_to_the_same_shape(shape, kernel):
    pyramid = Pyramid.over(shape, (2, 3, 4), kernel)
    images = torch.rand(2, *shape)
    vectors = pyramid.downwards(5)(images)
    assert vectors.shape == (2, 5)
    assert pyramid.upwards(5)(vectors).shape == images.shape


def test_what_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match=r"\(8, 7\).* 2 x 2 pixels"):
        Pyramid.over((1, 8, 7), (2, 3, 4), 4)


def test_weights_are_small_and_biases_are_zero_where_nothing_is_normalised():
    pyramid = Pyramid.over((1, 8, 8), (32, 32))
    networks = pyramid.downwards(64), pyramid.upwards(64), dense((64, 64, 64), nn.ReLU(), normalised=False)
    for network, biased in zip(networks, ([True, False, True], [False, False, True], [True, True]), strict=True):
        layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert [layer.bias is not None for layer in layers] == biased
        for layer in layers:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("normalised", [False, True])
def test_dense_layers_have_activations_between_them(normalised):
    network = dense((3, 4, 5, 1), nn.ReLU(), normalised=normalised)
    between = [nn.BatchNorm1d, nn.ReLU] if normalised else [nn.ReLU]
    assert [type(module) for module in network] == [nn.Linear, *between, nn.Linear, *between, nn.Linear]
    assert network(torch.rand(2, 3)).shape == (2, 1)
