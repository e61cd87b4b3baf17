"""The balanced score's arithmetic, with tensors and with arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradcon_ext.detector.balance import WEIGHTS, Balance
from gradcon_ext.scoring.balancing import RIDGE, principal_directions

CENTER = {"code": 0.5, "gradient": -0.2, "reconstruction": 0.01}
SCALE = {"code": 0.1, "gradient": 0.3, "reconstruction": 0.005}


def unit(codes: Tensor) -> Tensor:
    return torch.nn.functional.normalize(codes, dim=1, eps=0)


def balance_of(codes: Tensor) -> Balance:
    return Balance(*principal_directions(codes), CENTER, SCALE)


@pytest.mark.parametrize("count", [5, 200])
def test_the_code_part_is_the_mahalanobis_distance_of_a_ridge_estimate(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    training, others = (torch.rand(n, 12, generator=generator, dtype=torch.float64) @ mixing for n in (count, 7))
    mean = unit(training).mean(0)
    covariance = (unit(training) - mean).T @ (unit(training) - mean) / count
    ridge = RIDGE * covariance.trace() / 12
    apart = unit(others) - mean
    expected = ridge * (apart @ torch.linalg.inv(covariance + ridge * torch.eye(12)) * apart).sum(1)
    torch.testing.assert_close(balance_of(training).code_part(others), expected)


def test_the_length_of_a_code_does_not_matter_and_zeros_have_none() -> None:
    codes = torch.rand(50, 6, dtype=torch.float64)
    balance = balance_of(codes)
    torch.testing.assert_close(balance.code_part(codes * 1e6), balance.code_part(codes))
    assert bool(balance.code_part(torch.zeros(1, 6, dtype=torch.float64)).isfinite())


def test_training_codes_that_are_all_alike_span_nothing() -> None:
    balance = balance_of(torch.ones(4, 3, dtype=torch.float64))
    other = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    assert balance.code_part(torch.ones(2, 3, dtype=torch.float64)).abs().max() < 1e-12
    assert float(balance.code_part(other)) == pytest.approx(float((unit(other) - 3**-0.5).square().sum()))


def test_parts_count_in_deviations() -> None:
    balance = balance_of(torch.rand(9, 4))
    parts = [torch.tensor([CENTER[name] + 2 * SCALE[name], CENTER[name]]) for name in WEIGHTS]
    total = 2 * sum(WEIGHTS.values())
    torch.testing.assert_close(balance.combined(*parts), torch.tensor([total, 0.0]), atol=1e-5, rtol=0)


def test_arrays_give_what_tensors_give() -> None:
    codes = torch.rand(30, 5)
    balance = balance_of(codes.double())
    arrays = Balance(balance.mean.numpy(), balance.directions.numpy(), CENTER, SCALE)
    part = balance.code_part(codes.double())
    np.testing.assert_allclose(arrays.code_part(codes.double().numpy()), part.numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        arrays.combined(*(part.numpy(),) * 3), balance.combined(part, part, part).numpy(), rtol=1e-12
    )


def test_no_more_directions_than_a_file_should_hold() -> None:
    _, directions = principal_directions(torch.rand(20, 1 << 17, dtype=torch.float64))
    assert directions.shape == (1 << 17, 8)
    _, directions = principal_directions(torch.rand(300, 400, dtype=torch.float64))
    assert directions.shape == (400, 256)
