from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from gradcon_ext.ops import linear_grad_alignment


@settings(max_examples=100)
@given(
    samples=st.sampled_from([0, 1, 2, 8, 16, 19, 33]),
    positions=st.sampled_from([(), (1,), (2,), (5,), (2, 3), (0,)]),
    inputs=st.integers(1, 20),
    outputs=st.integers(1, 20),
    several=st.sampled_from([None, 1, 3]),
    non_contiguous=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_agrees_with_per_sample_autograd(
    device: str,
    samples: int,
    positions: tuple[int, ...],
    inputs: int,
    outputs: int,
    several: int | None,
    non_contiguous: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape[:-1], 2 * shape[-1], generator=generator, dtype=torch.float64)
        return drawn[..., ::2].flip(0) if non_contiguous else drawn[..., : shape[-1]].contiguous()

    input, grad_output = draw(samples, *positions, inputs), draw(samples, *positions, outputs)
    weight = draw(outputs, inputs) if several is None else draw(several, outputs, inputs)
    dot, sq_norm = linear_grad_alignment(input.to(device), grad_output.to(device), weight.to(device))
    expected_dot, expected_sq_norm = oracle.linear_grad_alignment(input, grad_output, weight)
    torch.testing.assert_close(dot.cpu(), expected_dot, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sq_norm.cpu(), expected_sq_norm, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("positions", [1, 7])
def test_float32_agrees_with_float64(device: str, positions: int) -> None:
    input, grad_output = torch.randn(50, positions, 300), torch.randn(50, positions, 200)
    weight = torch.randn(200, 300)
    results = linear_grad_alignment(input.to(device), grad_output.to(device), weight.to(device))
    dot, sq_norm = (result.cpu() for result in results)
    expected_dot, expected_sq_norm = oracle.linear_grad_alignment(input.double(), grad_output.double(), weight.double())
    scale = expected_sq_norm.sqrt() * weight.double().norm()
    assert ((dot - expected_dot).abs() <= 1e-6 * scale).all()
    torch.testing.assert_close(sq_norm.double(), expected_sq_norm, rtol=1e-6, atol=0)


@pytest.mark.parametrize("positions", [1, 3])
def test_opcheck(device: str, positions: int) -> None:
    shapes = (3, positions, 4), (3, positions, 5), (2, 5, 4)
    arguments = tuple(torch.randn(shape, device=device) for shape in shapes)
    torch.library.opcheck(torch.ops.gradcon_ext.linear_grad_alignment.default, arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"input": torch.zeros(4, 3, dtype=torch.float64)}, TypeError, "float64"),
        ({"input": torch.zeros(4)}, ValueError, r"\(4,\)"),
        ({"reference": torch.zeros(2, 3, 1, 1)}, ValueError, r"\(2, 3, 1, 1\)"),
        ({"input": torch.zeros(5, 3)}, ValueError, r"grad_output .*\(5, 2\)"),
        ({"grad_output": torch.zeros(4, 1)}, ValueError, r"grad_output .*\(4, 2\)"),
        ({"reference": torch.zeros(2, 4)}, ValueError, r"reference .*\(2, 3\)"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"input": torch.zeros(4, 3), "grad_output": torch.zeros(4, 2), "reference": torch.zeros(2, 3)}
    linear_grad_alignment(**arguments)
    with pytest.raises(error, match=message):
        linear_grad_alignment(**(arguments | change))
