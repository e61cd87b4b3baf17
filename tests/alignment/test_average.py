from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext import average_alignment
from support.model_families import FAMILIES, squared_output

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning"),
]


@pytest.mark.parametrize("batch_size", [3, 100])
@pytest.mark.parametrize("name", ["mlp", "sequence mlp", "cae", "residual", "attention", "shared weights", "recurrent"])
def test_agrees_with_all_pairs(name: str, batch_size: int) -> None:
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = family.build().double().eval()
    inputs = torch.randn(8, *family.shape, dtype=torch.float64)
    names, parameters = zip(*model.named_parameters(), strict=True)
    averages = average_alignment(model, family.loss, inputs, names, batch_size=batch_size)
    rows = [torch.autograd.grad(family.loss(model(input[None]), input[None]).sum(), parameters) for input in inputs]
    for name, gradients in zip(names, zip(*rows, strict=True), strict=True):
        flat = torch.stack(gradients).flatten(1)
        unit = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-300)
        pairs = (unit @ unit.T).fill_diagonal_(0)
        torch.testing.assert_close(averages[name], pairs.sum(1) / 7, rtol=1e-9, atol=1e-11)


def test_agrees_with_all_pairs_of_two_sets() -> None:
    family = FAMILIES["cae"]
    torch.manual_seed(0)
    model = family.build().double().eval()
    inputs, others = torch.randn(4, *family.shape).double(), torch.randn(7, *family.shape).double()
    names, parameters = zip(*model.named_parameters(), strict=True)
    averages = average_alignment(model, family.loss, inputs, names, others=others, batch_size=3)

    def units(samples: torch.Tensor) -> list[torch.Tensor]:
        rows = [torch.autograd.grad(family.loss(model(x[None]), x[None]).sum(), parameters) for x in samples]
        return [nn.functional.normalize(torch.stack(column).flatten(1)) for column in zip(*rows, strict=True)]

    for name, mine, theirs in zip(names, units(inputs), units(others), strict=True):
        torch.testing.assert_close(averages[name], (mine @ theirs.T).mean(1), rtol=1e-9, atol=1e-11)


def test_a_zero_gradient_is_aligned_with_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    inputs = torch.randn(5, 4)
    inputs[2] = 0
    averages = average_alignment(model, squared_output, inputs, ["0.weight"])
    assert averages["0.weight"][2] == 0
    assert averages["0.weight"][[0, 1, 3, 4]].all()


def test_one_other_is_enough_and_of_no_inputs_there_are_no_averages() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    inputs = torch.randn(1, 4)
    averages = average_alignment(model, squared_output, inputs, ["0.weight"], others=inputs)
    torch.testing.assert_close(averages["0.weight"], torch.ones(1))
    averages = average_alignment(model, squared_output, torch.randn(0, 4), ["0.weight"], others=inputs)
    assert averages["0.weight"].shape == (0,)


def test_bad_arguments() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(ValueError, match="inputs.* 1$"):
        average_alignment(model, squared_output, torch.randn(1, 4), ["0.weight"])
    with pytest.raises(ValueError, match="no others"):
        average_alignment(model, squared_output, torch.randn(3, 4), ["0.weight"], others=torch.randn(0, 4))
    with pytest.raises(ValueError, match="3 inputs.* 2 targets"):
        average_alignment(model, squared_output, torch.randn(3, 4), ["0.weight"], torch.randn(2, 4))
    with pytest.raises(ValueError, match="no parameter 'nothing'"):
        average_alignment(model, squared_output, torch.randn(3, 4), ["nothing"])
