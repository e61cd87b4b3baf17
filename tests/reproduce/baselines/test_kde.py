from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from gradcon_ext.reproduce.baselines.kde import best_bandwidth, log_likelihood


@pytest.mark.parametrize("dimensions", [1, 100])
@pytest.mark.parametrize("bandwidth", [0.05, 1.0])
def test_the_density_is_that_of_the_formula(dimensions, bandwidth):
    generator = np.random.default_rng(0)
    learned, scored = generator.normal(size=(200, dimensions)), 2 * generator.normal(size=(30, dimensions))
    squares = np.square(scored[:, None] - learned).sum(2)
    constant = math.log(len(learned)) + dimensions * math.log(bandwidth * math.sqrt(2 * math.pi))
    expected = logsumexp(-squares / (2 * bandwidth**2), axis=1) - constant
    np.testing.assert_allclose(log_likelihood(learned, scored, bandwidth), expected)


def test_the_bandwidth_follows_the_scale():
    features = np.random.default_rng(0).normal(size=(300, 8))
    bandwidth = best_bandwidth(features)
    assert 0.25 < bandwidth < 1
    assert best_bandwidth(4 * features) == pytest.approx(4 * bandwidth)
