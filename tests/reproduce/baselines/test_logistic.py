from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.reproduce.baselines.logistic import LEAST_LOG_SCALE, log_probability

VALUES = torch.arange(256.0, dtype=torch.float64)


@given(st.integers(0, 1000), st.floats(-9, 3), st.integers(1, 4))
def test_all_values_together_have_probability_one(seed, log_scale, components):
    parameters = torch.randn(3, components, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    parameters[2] += log_scale
    assert log_probability(VALUES, parameters).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_value_has_the_mass_of_its_bin():
    mean, scale = 0.1, 0.05
    parameters = torch.tensor([0.0, mean, scale], dtype=torch.float64)[:, None, None]
    parameters[2].log_()
    edges = (torch.arange(-0.5, 256, dtype=torch.float64) / 127.5 - 1 - mean) / scale
    edges[0], edges[-1] = -torch.inf, torch.inf
    expected = torch.sigmoid(edges).diff()
    torch.testing.assert_close(log_probability(VALUES, parameters).exp(), expected)


def test_a_sharp_mixture_stays_finite_in_single_precision():
    parameters = torch.tensor([0.0, 3.0, LEAST_LOG_SCALE - 5])[:, None, None].requires_grad_()
    likelihood = log_probability(VALUES.float(), parameters)
    likelihood.sum().backward()
    assert likelihood.isfinite().all()
    assert parameters.grad.isfinite().all()
    assert likelihood.argmax() == 255
