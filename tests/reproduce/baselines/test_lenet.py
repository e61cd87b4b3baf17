from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.lenet import LeNet


@pytest.mark.parametrize(
    ("shape", "filters", "code"),
    [((1, 28, 28), [8, 4], 32), ((3, 28, 28), [32, 64, 128], 128), ((3, 9, 30), None, 128)],
)
def test_images_become_codes_and_images_again(shape, filters, code):
    sizes = LeNet.for_images(shape)
    encoder, decoder = sizes.encoder(), sizes.decoder()
    images = torch.rand(2, *shape)
    codes = encoder(images)
    assert codes.shape == (2, code)
    assert decoder(codes).shape == images.shape
    if filters is not None:
        assert [layer.out_channels for layer in encoder if isinstance(layer, nn.Conv2d)] == filters


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_has_a_bias(channels):
    sizes = LeNet.for_images((channels, 8, 8))
    for network in (sizes.encoder(), sizes.decoder()):
        names = [name for name, _ in network.named_parameters()]
        assert names
        assert all(name.endswith(".weight") for name in names)
    assert not sizes.encoder().eval()(torch.zeros(1, channels, 8, 8)).any()


@pytest.mark.parametrize(("shape", "least"), [((1, 3, 28), 4), ((3, 28, 7), 8)])
def test_images_too_small_are_refused(shape, least):
    with pytest.raises(ValueError, match=f" {least} x {least} pixels"):
        LeNet.for_images(shape)
