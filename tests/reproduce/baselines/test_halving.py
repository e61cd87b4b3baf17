from __future__ import annotations

import pytest
import torch

from gradcon_ext.reproduce.baselines.halving import doubling, halved, halving


@pytest.mark.parametrize("size", [(28, 28), (7, 7), (3, 10), (2, 5)])
def test_there_and_back(size):
    images = torch.rand(1, 2, *size)
    small = halving(2, 3)(images)
    assert small.shape == (1, 3, *halved(size))
    assert doubling(3, 2, size)(small).shape == images.shape


def test_a_single_row_cannot_be_halved():
    with pytest.raises(ValueError, match=r"\(1, 8\).* 2 x 2"):
        halved((1, 8))
