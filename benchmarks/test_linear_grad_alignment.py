"""How long does the alignment of a linear layer take, for single vectors and for sequences?"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradcon_ext.ops import linear_grad_alignment

SAMPLES = 512


def bmm(input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Form every sample's gradient by one batched matrix product."""
    gradients = torch.bmm(grad_output.transpose(1, 2), input).flatten(1)
    return gradients @ reference.flatten(), gradients.square().sum(1)


@pytest.mark.parametrize("positions", [1, 16])
def test_linear_alignment(compare, positions) -> None:
    input, grad_output = torch.randn(SAMPLES, positions, 576), torch.randn(SAMPLES, positions, 128)
    reference = torch.randn(128, 576)
    torch.testing.assert_close(
        linear_grad_alignment(input, grad_output, reference), bmm(input, grad_output, reference), rtol=1e-3, atol=1e-1
    )
    compare(
        lambda: linear_grad_alignment(input, grad_output, reference),
        lambda: bmm(input, grad_output, reference),
        question=f"alignment of Linear(576, 128), {positions} position(s) a sample",
        name="gradcon_ext.ops.linear_grad_alignment",
        baseline_name="torch.bmm and two reductions",
        samples=SAMPLES,
    )
