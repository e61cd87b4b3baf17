from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.data import load
from gradcon_ext.reproduce.baselines.components import principal_components
from gradcon_ext.reproduce.baselines.contrast import contrast_normalised


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_components_hold_nearly_all_of_the_variance(digits):
    learned, _ = principal_components(digits.train.images, digits.test.images, whiten=False)
    normalised, _ = contrast_normalised(digits.train.images, digits.test.images)
    total = normalised.var(0).sum()
    kept = learned.var(0)
    assert 0.95 * total < kept.sum() < total
    assert kept[:-1].sum() < 0.95 * total


def test_whitened_components_have_unit_variance(digits):
    plain, _ = principal_components(digits.train.images, digits.test.images, whiten=False)
    learned, scored = principal_components(digits.train.images, digits.test.images, whiten=True)
    np.testing.assert_allclose(np.cov(learned.T), np.eye(learned.shape[1]), atol=1e-9)
    np.testing.assert_allclose(learned * plain.std(0, ddof=1), plain, atol=1e-9)
    assert scored.shape == (len(digits.test.images), learned.shape[1])
