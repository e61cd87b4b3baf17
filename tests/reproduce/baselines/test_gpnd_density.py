from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from gradcon_ext.reproduce.baselines.gpnd import CODE, Networks
from gradcon_ext.reproduce.baselines.gpnd_density import Histogram, InlierDensity, log_sphere, singular_values

LEAST = np.log(np.finfo(float).tiny)


def test_singular_values_are_those_of_the_dense_jacobian():
    networks = Networks((1, 9, 12)).double()
    networks.decoder(torch.randn(50, CODE, dtype=torch.float64))  # so that what is normalised is not trivial
    decoder = networks.decoder.eval()
    codes = torch.randn(45, CODE, dtype=torch.float64)  # more than are derived at once
    values = singular_values(decoder, codes)
    assert values.shape == (45, CODE)
    for code, found in zip(codes, values, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda one: decoder(one[None]).flatten(), code)
        np.testing.assert_allclose(found, np.linalg.svd(jacobian.numpy(), compute_uv=False), rtol=1e-6)


@pytest.mark.parametrize(
    ("dimensions", "area"), [(1, lambda r: 2 + 0 * r), (2, lambda r: 2 * np.pi * r), (3, lambda r: 4 * np.pi * r**2)]
)
def test_areas_of_spheres(dimensions, area):
    radii = np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(log_sphere(radii, dimensions), np.log(area(radii)), atol=1e-12)


def test_densities_of_norms_are_those_of_a_histogram():
    norms = np.random.default_rng(0).gamma(9, size=1000)
    histogram = Histogram.of(norms)
    oracle = stats.rv_histogram(np.histogram(norms, 30))
    within = norms[oracle.pdf(norms) > 0]
    assert len(within) > 990
    np.testing.assert_allclose(histogram.log_density(within), np.log(oracle.pdf(within)))


def test_norms_that_were_not_seen():
    histogram = Histogram(np.array([0.25, 0.0, 0.5]), np.array([2.0, 3.0, 4.0, 5.5]))
    norms = np.array([0.0, 1.0, 2.0, 3.5, 5.5, 5.6])
    expected = [LEAST, np.log(0.125), np.log(0.25), LEAST, np.log(0.5), LEAST]
    np.testing.assert_allclose(histogram.log_density(norms), expected)


def test_each_component_is_fitted():
    shapes, locations, scales = np.array([[1.2, -1.0, 0.5], [2.0, 0.0, 1.0], [5.0, 3.0, 2.0]]).T
    codes = stats.gennorm.rvs(shapes, locations, scales, size=(4000, 3), random_state=0)
    density = InlierDensity.fit(codes, np.arange(1.0, 4001))
    np.testing.assert_allclose(density.shapes, shapes, rtol=0.15)
    np.testing.assert_allclose(density.locations, locations, atol=0.05)
    np.testing.assert_allclose(density.scales, scales, rtol=0.1)


def test_the_likelihood_of_normal_codes_on_a_plane_is_that_of_a_normal_distribution():
    """Of a linear decoder the manifold is flat, so what holds by linearisation holds everywhere."""
    generator = np.random.default_rng(0)
    pixels, components = 7, 3
    matrix = generator.normal(size=(pixels, components))
    codes = generator.normal(size=(5, components))
    norms = generator.uniform(1, 2, 5)
    flat = Histogram(np.array([1.0]), np.array([1.0, 2.0]))
    density = InlierDensity(np.full(3, 2.0), np.zeros(3), np.full(3, np.sqrt(2)), flat)
    values = np.broadcast_to(np.linalg.svd(matrix, compute_uv=False), (5, components))
    plane, _ = np.linalg.qr(matrix)
    along = stats.multivariate_normal(cov=plane.T @ matrix @ matrix.T @ plane).logpdf(codes @ matrix.T @ plane)
    across = -np.log(np.pi**2 * 2 * norms**3)  # a sphere in the four dimensions that are left
    np.testing.assert_allclose(density.log_likelihood(codes, norms, values, pixels), along + across)


def test_a_likelihood_is_always_finite():
    density = InlierDensity(np.array([400.0]), np.zeros(1), np.ones(1), Histogram.of(np.array([1.0, 2.0])))
    codes = np.array([[0.0], [-5.0], [90.0]])
    likelihood = density.log_likelihood(codes, np.array([0.0, 99.0, 1.0]), np.zeros((3, 1)), 784)
    assert np.isfinite(likelihood).all()


def test_components_without_ends_are_fitted():
    """Of uniform codes the best shape is a large one, on whose way densities leave what a number can hold."""
    codes = np.linspace(-1, 1, 500)[:, None] + np.array([0.0, 5.0])
    density = InlierDensity.fit(codes, np.arange(1.0, 501))
    assert (density.shapes > 10).all()
    np.testing.assert_allclose(density.locations, [0, 5], atol=0.02)
    np.testing.assert_allclose(density.scales, 1, atol=0.05)
