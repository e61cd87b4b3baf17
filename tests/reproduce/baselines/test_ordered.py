from __future__ import annotations

import pytest
import torch

from gradcon_ext.reproduce.baselines.ordered import OrderedConv2d, OrderedLinear, order_mask

GIVEN, MADE = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2, 2])


def test_a_mask_lets_earlier_places_through():
    assert order_mask(GIVEN, MADE, strict=True).int().tolist() == [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
    ]
    assert order_mask(GIVEN, MADE, strict=False).int().tolist()[1] == [1, 1, 1, 0]


@pytest.mark.parametrize("strict", [True, False])
def test_a_linear_layer_sees_what_its_mask_lets_through(strict):
    layer = OrderedLinear(GIVEN, MADE, strict)
    seen = torch.autograd.functional.jacobian(layer, torch.rand(len(GIVEN))) != 0
    assert torch.equal(seen, order_mask(GIVEN, MADE, strict) != 0)


@pytest.mark.parametrize("strict", [True, False])
def test_a_convolution_masks_the_last_pixel_only(strict):
    layer = OrderedConv2d(GIVEN, MADE, (2, 3), strict)
    seen = torch.autograd.functional.jacobian(layer, torch.rand(1, len(GIVEN), 2, 3))[0, :, 0, 0, 0] != 0
    assert torch.equal(seen[:, :, -1, -1], order_mask(GIVEN, MADE, strict) != 0)
    assert seen.flatten(2)[:, :, :-1].all()
