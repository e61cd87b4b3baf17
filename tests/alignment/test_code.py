from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext.alignment.code import code_of


class Parallel(nn.Module):
    """Its layers are called in another order than they are named."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(3, 2), nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(self.second(x.flatten(1)) * (2 if self.training else 1))


def test_it_is_what_the_first_layer_that_is_called_is_given() -> None:
    model, images = Parallel(), torch.rand(5, 1, 2, 2)
    assert torch.equal(code_of(model, ["first.weight", "second.weight"], images), images.flatten(1))
    with torch.no_grad():
        expected = model.second(images.flatten(1))
    torch.testing.assert_close(code_of(model, ["first.weight"], images), expected)
    assert model.training
    assert not model.first._forward_pre_hooks


def test_layers_that_are_not_called_have_none() -> None:
    with pytest.raises(ValueError, match="no constrained layer is called"):
        code_of(Parallel(), ["idle.weight"], torch.rand(2, 4))
