from __future__ import annotations

import math

import numpy as np
import pytest

from gradcon_ext.challenges import LEVELS, challenge

BLACK = np.zeros((8, 1, 96, 96), np.uint8)
WHITE = np.full((8, 1, 96, 96), 255, np.uint8)


def likeness(images, down, right):
    """Correlation of images with themselves, shifted."""
    return np.corrcoef(images.ravel(), np.roll(images, (down, right), axis=(2, 3)).ravel())[0, 1]


def test_rain_falls_in_slanted_streaks():
    rain = challenge(BLACK, "rain", 2)
    along = round(8 * math.cos(math.radians(15))), round(8 * math.sin(math.radians(15)))
    assert likeness(rain, *along) > 0.5
    assert likeness(rain, along[0], -along[1]) < 0.3
    assert likeness(rain, along[1], along[0]) < 0.3


def test_snow_falls_in_flakes_before_a_veil():
    snow = challenge(BLACK, "snow", 3)
    veil = np.median(snow)
    assert 0 < veil < 100
    assert 0.01 < (snow > 200).mean() < 0.2
    assert likeness(snow, 0, 2) > 0.5 > 0.2 > likeness(snow, 0, 12)


@pytest.mark.parametrize("name", ["rain", "snow"])
def test_the_same_share_is_covered_at_all_sizes(name):
    sizes = ((48, 48), (96, 96), (48, 160))
    covered = [challenge(np.zeros((20, 1, *size), np.uint8), name, 3).mean() for size in sizes]
    np.testing.assert_allclose(covered, np.mean(covered), rtol=0.1)


@pytest.mark.parametrize("name", ["rain", "snow"])
def test_what_falls_at_one_level_falls_at_the_next(name):
    levels = [challenge(BLACK, name, level).astype(int) for level in LEVELS]
    assert (np.diff(levels, axis=0) >= 0).all()


def test_haze_takes_contrast_by_the_exponential_of_depth():
    def transmission(level):
        return (challenge(WHITE, "haze", level).astype(float) - challenge(BLACK, "haze", level)) / 255

    once, twice = transmission(1), transmission(2)  # of scattering 0.3 and 0.6
    np.testing.assert_allclose(twice, once**2, atol=0.01)
    assert once[0, 0, 0, 0] == pytest.approx(math.exp(-0.3 * 1.25), abs=0.004)
    assert once[0, 0, -1, 0] == pytest.approx(math.exp(-0.3 * 0.75), abs=0.004)


def test_haze_goes_towards_the_airlight():
    airlight = np.full_like(BLACK, round(0.9 * 255))
    for level in LEVELS:
        assert np.abs(challenge(airlight, "haze", level).astype(int) - airlight).max() <= 1
        assert (challenge(BLACK, "haze", level) <= airlight).all()
