from __future__ import annotations

import math

import numpy as np
import pytest

from gradcon_ext.challenges.convolution import convolve, disc, gaussian, scatter, streak


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_convolution_sums_shifted_images(shape):
    generator = np.random.default_rng(0)
    image, kernel = generator.random((3, *shape)), generator.random(shape)
    expected = sum(kernel[place] * np.roll(image, place, axis=(1, 2)) for place in np.ndindex(shape))
    np.testing.assert_allclose(convolve(image, kernel), expected)


@pytest.mark.parametrize("shape", [(40, 64), (41, 63)])
def test_kernels_have_the_size_asked_for(shape):
    assert disc(*shape, 10).sum() == pytest.approx(math.pi * 10**2, rel=0.02)
    assert gaussian(*shape, 3).sum() == pytest.approx(2 * math.pi * 3**2, rel=0.001)
    assert streak(*shape, 20, 3, 0.3).sum() == pytest.approx(20 * 3 + math.pi * 1.5**2, rel=0.05)


def test_kernels_are_centred_on_the_first_pixel():
    for kernel in (disc(21, 31, 4), gaussian(21, 31, 4), streak(21, 31, 9, 1, 0.5)):
        assert kernel.max() == kernel[0, 0] == 1
        np.testing.assert_allclose(np.roll(kernel[::-1, ::-1], 1, axis=(0, 1)), kernel, atol=1e-12)


def test_a_streak_leans_by_its_angle():
    upright, level = streak(31, 31, 11, 1, 0), streak(31, 31, 11, 1, math.pi / 2)
    assert upright[:, 0].sum() > 10 > upright[0].sum()
    np.testing.assert_allclose(level, upright.T, atol=1e-12)
    leaning = streak(31, 31, 20, 1, math.radians(45))
    assert leaning[5, 5] > 0.9 > 0.1 > leaning[5, -5]


def test_copies_lie_at_random_places_and_the_first_at_the_same_ones():
    point = np.zeros((20, 30))
    point[0, 0] = 1
    few, many = (scatter(point, count, np.random.default_rng(0)) for count in (5, 40))
    assert few.sum() == pytest.approx(5)
    assert (many > few - 1e-9).all()
    assert 30 < many.sum() < 40.001
    assert many.max() <= 1
    assert min(np.ptp(np.nonzero(many > 0.5), axis=1)) > 15
