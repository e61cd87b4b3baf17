from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from gradcon_ext.ops import running_mean_cosine_
from support.threads import torch_threads


@settings(max_examples=60)
@given(
    size=st.sampled_from([0, 1, 7, 8, 9, 1000, 2**15, 300_001]),
    count=st.integers(0, 1000),
    seed=st.integers(0, 99),
)
def test_agrees_with_plain_torch(device: str, size: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(size, generator=generator, dtype=torch.float64)
    grad = torch.randn(size, generator=generator, dtype=torch.float64)
    expected_mean = mean.clone()
    expected = oracle.running_mean_cosine_(expected_mean, grad, count)
    updated = mean.to(device)
    cosine = running_mean_cosine_(updated, grad.to(device), count)
    torch.testing.assert_close(cosine.cpu(), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(updated.cpu(), expected_mean, rtol=1e-12, atol=1e-12)


def test_the_mean_is_that_of_all_gradients() -> None:
    gradients = torch.randn(50, 4, 3, 2, 2)
    mean = torch.zeros(4, 3, 2, 2)
    for count, gradient in enumerate(gradients):
        running_mean_cosine_(mean, gradient, count)
    torch.testing.assert_close(mean, gradients.mean(0))


def test_no_mean_yet_or_a_zero_gradient_has_cosine_zero() -> None:
    grad = torch.ones(5)
    assert running_mean_cosine_(torch.ones(5), grad, 0) == 0
    assert running_mean_cosine_(torch.zeros(5), grad, 3) == 0
    assert running_mean_cosine_(torch.ones(5), torch.zeros(5), 3) == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_cosine_does_not_depend_on_the_scale(device: str, scale: float) -> None:
    mean, grad = torch.randn(1000, device=device), torch.randn(1000, device=device)
    expected = torch.nn.functional.cosine_similarity(mean, grad, dim=0)
    torch.testing.assert_close(running_mean_cosine_(mean * scale, grad * scale, 5), expected)


def test_same_bits_for_any_number_of_threads() -> None:
    mean, grad = torch.randn(10**6), torch.randn(10**6)
    results = []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            results.append((running_mean_cosine_(updated := mean.clone(), grad, 5), updated))
    assert all(torch.equal(a, b) for result in results for a, b in zip(result, results[0], strict=True))


def test_a_gradient_of_any_strides() -> None:
    grad = torch.randn(6, 4).T
    mean, expected = torch.randn(4, 6), None
    expected = mean + (grad - mean) / 3
    running_mean_cosine_(mean, grad, 2)
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_gradient_in_half_precision(dtype: torch.dtype) -> None:
    grad = torch.randn(100).to(dtype)
    means = torch.zeros(100), torch.zeros(100)
    assert torch.equal(running_mean_cosine_(means[0], grad, 4), running_mean_cosine_(means[1], grad.float(), 4))
    assert torch.equal(*means)


def test_a_graph_that_saved_the_old_mean_notices_the_update() -> None:
    weight, mean = torch.ones(3, requires_grad=True), torch.ones(3)
    loss = (weight * mean).sum()
    running_mean_cosine_(mean, torch.zeros(3), 1)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


def test_opcheck(device: str) -> None:
    arguments = (torch.randn(4, 5, device=device), torch.randn(4, 5, device=device), 3)
    torch.library.opcheck(torch.ops.gradcon_ext.running_mean_cosine_.default, arguments)


def test_compiles_without_a_graph_break() -> None:
    mean, grad = torch.randn(4, 5), torch.randn(4, 5)
    compiled = torch.compile(running_mean_cosine_, fullgraph=True, backend="aot_eager")
    means = mean.clone(), mean.clone()
    torch.testing.assert_close(compiled(means[0], grad, 3), running_mean_cosine_(means[1], grad, 3))
    torch.testing.assert_close(*means)


@pytest.mark.parametrize(
    ("mean", "grad", "count", "error", "message"),
    [
        (torch.zeros(3), torch.zeros(4), 1, ValueError, r"grad .*\(3,\).*\(4,\)"),
        (torch.zeros(3), torch.zeros(3).double(), 1, TypeError, "float64"),
        (torch.zeros(3).half(), torch.zeros(3).half(), 1, TypeError, "float16"),
        (torch.zeros(3, 2).T, torch.zeros(2, 3), 1, ValueError, "contiguous"),
        (torch.zeros(3), torch.zeros(3), -1, ValueError, "count .* -1$"),
    ],
)
def test_bad_arguments(
    mean: torch.Tensor, grad: torch.Tensor, count: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        running_mean_cosine_(mean, grad, count)
