from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from gradcon_ext.alignment.gradients import ConvGradients, conv_gradients
from gradcon_ext.alignment.shares import location_shares
from support.strategies import ConvCase, conv_cases

LAYERS = {
    (False, 1): nn.Conv1d,
    (False, 2): nn.Conv2d,
    (True, 1): nn.ConvTranspose1d,
    (True, 2): nn.ConvTranspose2d,
}


def layer_of(case: ConvCase) -> nn.Module:
    channels = case.groups * case.in_per_group, case.groups * case.out_per_group
    further = {"output_padding": case.output_padding} if case.transposed else {}
    return LAYERS[case.transposed, len(case.size)](
        *channels, case.kernel, case.stride, case.padding, dilation=case.dilation, groups=case.groups, **further
    ).double()


def by_autograd(layer: nn.Module, input: Tensor, grad_output: Tensor) -> list[Tensor]:
    """The weight gradient of each sample."""
    rows = zip(input, grad_output, strict=True)
    return [torch.autograd.grad(layer(row[None]), layer.weight, upstream[None])[0] for row, upstream in rows]


def cosines(gradients: list[Tensor], reference: Tensor) -> Tensor:
    dots = [float((gradient * reference).sum()) for gradient in gradients]
    norms = [float(gradient.norm() * reference.norm()) for gradient in gradients]
    quotients = [dot / norm if norm else 0.0 for dot, norm in zip(dots, norms, strict=True)]
    return torch.tensor(quotients, dtype=torch.float64)


@given(conv_cases())
def test_shares_sum_to_the_cosine(case: ConvCase) -> None:
    input, grad_output, reference = case.tensors(torch.float64)
    layer = layer_of(case)
    shares = location_shares(layer, conv_gradients(layer, layer.weight, input, grad_output), reference)
    assert shares.shape == (case.samples, *case.size)
    expected = cosines(by_autograd(layer, input, grad_output), reference)
    torch.testing.assert_close(shares.flatten(1).sum(1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("padding", ["same", (2, 1)])
def test_shares_of_what_is_padded_go_to_where_it_was_copied_from(padding: str | tuple[int, int], mode: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, (3, 4), padding=padding, padding_mode=mode).double()
    input, reference = torch.randn(4, 2, 6, 7).double(), torch.randn(3, 2, 3, 4).double()
    grad_output = torch.randn_like(layer(input))
    shares = location_shares(layer, conv_gradients(layer, layer.weight, input, grad_output), reference)
    assert shares.shape == (4, 6, 7)
    torch.testing.assert_close(
        shares.sum((1, 2)), cosines(by_autograd(layer, input, grad_output), reference), rtol=1e-9, atol=1e-9
    )
    # The share of one location is what the dot product loses without it.
    without = input.clone()
    without[:, :, 0, 3] = 0
    gradients = by_autograd(layer, input, grad_output)
    lost = [(a - b) for a, b in zip(gradients, by_autograd(layer, without, grad_output), strict=True)]
    norms = torch.stack([gradient.norm() for gradient in gradients]) * reference.norm()
    expected = torch.stack([(gradient * reference).sum() for gradient in lost]) / norms
    torch.testing.assert_close(shares[:, 0, 3], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_size_does_not_matter(scale: float) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3)
    input, reference = torch.randn(4, 2, 6, 7), torch.randn(3, 2, 3, 3)
    grad_output = torch.randn(4, 3, 4, 5)

    def shares(grad_output: Tensor, reference: Tensor) -> Tensor:
        gradients: ConvGradients = conv_gradients(layer, layer.weight, input, grad_output)
        return location_shares(layer, gradients, reference)

    expected = shares(grad_output, reference)
    assert expected.all()
    torch.testing.assert_close(shares(grad_output * scale, reference), expected)
    torch.testing.assert_close(shares(grad_output, reference * scale), expected)
