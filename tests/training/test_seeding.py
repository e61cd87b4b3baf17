from __future__ import annotations

import pytest
import torch

from gradcon_ext.training.seeding import seeded

CPU = torch.device("cpu")


def draw(*seed):
    with seeded(CPU, *seed):
        return torch.rand(4)


def test_numbers_depend_on_the_seed_alone():
    torch.rand(3)
    first = draw(5, 1)
    torch.rand(3)
    assert torch.equal(first, draw(5, 1))
    for other in ((5,), (5, 2), (1, 5), (6, 1), (5 + 2**32, 1)):
        assert not torch.equal(first, draw(*other))


def test_the_numbers_of_the_caller_go_on_as_if_nothing_had_happened():
    torch.manual_seed(3)
    expected = torch.rand(2), torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), expected[0])
    draw(5)
    with pytest.raises(KeyboardInterrupt), seeded(CPU, 6):
        raise KeyboardInterrupt
    assert torch.equal(torch.rand(2), expected[1])
