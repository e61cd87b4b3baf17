"""Synthetic damage of normal images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcon_ext.challenges import CHALLENGES, challenge
from gradcon_ext.challenges.damage import LEVEL, damage, kinds_for

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 20, 28), dtype=np.uint8)
OWN = ("patches", "scratches")


@pytest.mark.parametrize("kind", kinds_for((3, 20, 28)))
def test_damage_is_the_same_each_time_and_leaves_the_images(kind):
    before = IMAGES.copy()
    damaged = damage(IMAGES, kind)
    assert damaged.shape == IMAGES.shape and damaged.dtype == np.uint8
    assert np.array_equal(IMAGES, before)
    assert np.array_equal(damage(IMAGES, kind), damaged)
    assert np.array_equal(damage(IMAGES[:2], kind), damaged[:2])
    assert (damaged != IMAGES).any()


def test_conditions_are_those_of_a_low_level():
    assert LEVEL <= 2
    assert np.array_equal(damage(IMAGES, "rain", 3), challenge(IMAGES, "rain", LEVEL, 3))


@pytest.mark.parametrize("kind", OWN)
def test_another_seed_is_other_damage(kind):
    assert not np.array_equal(damage(IMAGES, kind, 0), damage(IMAGES, kind, 1))


def changed(images, kind, seed=0):
    return (damage(images, kind, seed) != images).any(1)


def test_a_patch_is_a_part_of_the_same_image():
    """Of an image whose pixels all differ: what is new in one place stands in another, in the same neighbourhood."""
    image = np.arange(240, dtype=np.uint8).reshape(1, 1, 12, 20)
    for seed in range(40):
        damaged = damage(image, "patches", seed)[0, 0]
        where = np.argwhere(damaged != image[0, 0])
        assert 0 <= len(where) <= 0.3 * image.size
        if len(where) > 1:
            sources = [np.argwhere(image[0, 0] == damaged[tuple(place)])[0] for place in where]
            assert len({tuple(source - place) for source, place in zip(sources, where, strict=True)}) == 1


@pytest.mark.parametrize("value", [0, 60, 200, 255])
def test_a_scratch_shows_on_any_brightness(value):
    plain = np.full((50, 1, 28, 28), value, np.uint8)
    scratched = changed(plain, "scratches")
    assert scratched.any((1, 2)).all()
    assert scratched.mean() < 0.15
    apart = abs(damage(plain, "scratches").astype(int) - value)
    assert apart[apart > 0].min() >= 50 and apart.max() <= 125


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=60)
def test_images_of_any_size_can_be_damaged(channels, height, width, seed):
    images = np.full((2, channels, height, width), 90, np.uint8)
    kinds = kinds_for(images.shape[1:])
    assert set(OWN) <= set(kinds)
    assert (set(CHALLENGES) <= set(kinds)) == (channels in (1, 3) and min(height, width) >= 8)
    assert changed(images, "scratches", seed).any((1, 2)).all()
    assert damage(images, "patches", seed).shape == images.shape


@pytest.mark.parametrize(
    ("images", "kind", "error", "message"),
    [
        (IMAGES.astype(float), "rain", TypeError, "float64; expected uint8"),
        (IMAGES[0], "rain", ValueError, r"shape \(3, 20, 28\)"),
        (IMAGES, "rust", ValueError, "no damage 'rust'"),
        (IMAGES[:, :2], "rain", ValueError, r"no damage 'rain' of images \(C, H, W\) = \(2, 20, 28\)"),
    ],
)
def test_what_cannot_be_damaged(images, kind, error, message):
    with pytest.raises(error, match=message):
        damage(images, kind)
