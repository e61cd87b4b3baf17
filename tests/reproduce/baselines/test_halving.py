from __future__ import annotations

import pytest
import torch

from gradcon_ext.reproduce.baselines.halving import doubling, halving, sizes_of_halvings


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("size", [(28, 28), (7, 7), (3, 10), (2, 5)])
def test_there_and_back(size, kernel):
    images = torch.rand(1, 2, *size)
    small = halving(2, 3, kernel)(images)
    assert (size, small.shape[2:]) == sizes_of_halvings(size, 1, kernel)
    assert doubling(3, 2, size, kernel)(small).shape == images.shape


@pytest.mark.parametrize(("kernel", "lengths"), [(4, (28, 14, 7, 3)), (5, (28, 14, 7, 4))])
def test_half_of_an_odd_length(kernel, lengths):
    assert sizes_of_halvings((28, 28), 3, kernel) == tuple((length, length) for length in lengths)


def test_a_single_row_cannot_be_halved():
    assert sizes_of_halvings((1, 8), 0) == ((1, 8),)
    with pytest.raises(ValueError, match=r"\(4, 16\) become \(1, 4\).* 2 x 2"):
        sizes_of_halvings((4, 16), 3)
