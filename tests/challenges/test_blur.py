from __future__ import annotations

import math

import numpy as np
import pytest

from gradcon_ext.challenges.blur import gaussian_blur, lens_blur

DRAW = np.random.default_rng(0)

blurs = pytest.mark.parametrize("blur", [gaussian_blur, lens_blur])


def point(size):
    image = np.zeros((1, size, size))
    image[0, size // 2, size // 2] = 1
    return image


def spread(blurred):
    """The root of the mean squared distance down from the middle, in pixels."""
    down = np.arange(blurred.shape[1]) - blurred.shape[1] // 2
    return math.sqrt((blurred.sum(axis=(0, 2)) * down**2).sum())


@blurs
def test_light_is_kept(blur):
    assert blur(point(64), 4, DRAW).sum() == pytest.approx(1)
    np.testing.assert_allclose(blur(np.full((3, 28, 40), 0.7), 5, DRAW), 0.7)


@blurs
@pytest.mark.parametrize("level", [1, 3, 5])
def test_blur_is_in_proportion_to_the_size(blur, level):
    assert spread(blur(point(200), level, DRAW)) == pytest.approx(2 * spread(blur(point(100), level, DRAW)), rel=0.05)


def test_a_point_becomes_a_disc_and_a_bell():
    size = 100
    flat, bell = lens_blur(point(size), 5, DRAW)[0, size // 2], gaussian_blur(point(size), 5, DRAW)[0, size // 2]
    radius, sigma = 14, 10
    np.testing.assert_allclose(flat[size // 2 - radius + 1 : size // 2 + radius], flat.max())
    np.testing.assert_allclose(flat[: size // 2 - radius - 1], 0, atol=1e-12)
    assert bell[size // 2 + sigma] == pytest.approx(bell.max() * math.exp(-0.5))


@blurs
def test_the_far_side_does_not_shine_through(blur):
    image = np.zeros((1, 40, 40))
    image[:, :, :5] = 1
    assert blur(image, 5, DRAW)[0, :, -1].max() < 1e-6
