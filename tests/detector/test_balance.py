"""The balanced score's arithmetic, with tensors and with arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradcon_ext.detector.balance import WEIGHTS, Balance, Subspace, at_length_1
from gradcon_ext.scoring.balancing import RIDGE, principal_directions

CENTER = {"direction": 0.4, "code": 0.5, "gradient": -0.2, "reconstruction": 0.01}
SCALE = {"direction": 0.2, "code": 0.1, "gradient": 0.3, "reconstruction": 0.005}


def balance_of(codes: Tensor) -> Balance:
    return Balance(principal_directions(at_length_1(codes)), principal_directions(codes), CENTER, SCALE)


@pytest.mark.parametrize("count", [5, 200])
def test_a_distance_is_the_mahalanobis_distance_of_a_ridge_estimate(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    training, others = (torch.rand(n, 12, generator=generator, dtype=torch.float64) @ mixing for n in (count, 7))
    mean = training.mean(0)
    covariance = (training - mean).T @ (training - mean) / count
    ridge = RIDGE * covariance.trace() / 12
    apart = others - mean
    expected = ridge * (apart @ torch.linalg.inv(covariance + ridge * torch.eye(12)) * apart).sum(1)
    torch.testing.assert_close(principal_directions(training).distance(others), expected)


def test_the_length_of_a_code_does_not_matter_to_its_direction_and_zeros_have_none() -> None:
    codes = torch.rand(50, 6, dtype=torch.float64)
    balance = balance_of(codes)
    torch.testing.assert_close(at_length_1(codes), torch.nn.functional.normalize(codes, dim=1))
    (direction, code), (of_longer, longer) = balance.code_parts(codes), balance.code_parts(codes * 1e3)
    torch.testing.assert_close(of_longer, direction)
    assert bool((longer > code).all())
    assert all(bool(part.isfinite()) for part in balance.code_parts(torch.zeros(1, 6, dtype=torch.float64)))


def test_training_codes_that_are_all_alike_span_nothing() -> None:
    space = principal_directions(torch.ones(4, 3, dtype=torch.float64))
    assert space.distance(torch.ones(2, 3, dtype=torch.float64)).abs().max() < 1e-12
    assert float(space.distance(torch.tensor([[3.0, 1.0, 1.0]], dtype=torch.float64))) == pytest.approx(4)


def test_parts_count_in_deviations() -> None:
    balance = balance_of(torch.rand(9, 4))
    parts = {name: torch.tensor([CENTER[name] + 2 * SCALE[name], CENTER[name]]) for name in WEIGHTS}
    total = 2 * sum(WEIGHTS.values())
    torch.testing.assert_close(balance.combined(**parts), torch.tensor([total, 0.0]), atol=1e-5, rtol=0)


def test_arrays_give_what_tensors_give() -> None:
    codes = torch.rand(30, 5, dtype=torch.float64)
    balance = balance_of(codes)
    spaces = [Subspace(space.mean.numpy(), space.directions.numpy()) for space in (balance.direction, balance.code)]
    arrays = Balance(*spaces, CENTER, SCALE)
    parts, expected = arrays.code_parts(codes.numpy()), balance.code_parts(codes)
    for part, tensor in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part, tensor.numpy(), rtol=1e-12, atol=1e-12)
    combined = arrays.combined(*parts, parts[0], parts[1])
    np.testing.assert_allclose(combined, balance.combined(*expected, *expected).numpy(), rtol=1e-9, atol=1e-9)


def test_codes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codes of \(4, 4\) numbers; the model's have 1"):
        balance_of(torch.rand(9, 4)).code_parts(torch.rand(2, 1))


def test_no_more_directions_than_a_file_should_hold() -> None:
    assert principal_directions(torch.rand(20, 1 << 17, dtype=torch.float64)).directions.shape == (1 << 17, 8)
    assert principal_directions(torch.rand(300, 400, dtype=torch.float64)).directions.shape == (400, 256)
