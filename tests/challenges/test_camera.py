from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.challenges import LEVELS, challenge
from gradcon_ext.data import resize

IMAGES = resize(np.random.default_rng(0).integers(0, 256, (4, 3, 7, 7), dtype=np.uint8), 64)
GREY = np.full((4, 3, 64, 64), 128, np.uint8)


def test_colour_is_lost_and_luma_kept():
    half, grey = challenge(IMAGES, "decolorization", 2), challenge(IMAGES, "decolorization", 5)
    assert (np.ptp(grey, axis=1) == 0).all()
    assert 0 < np.ptp(half, axis=1).mean() < np.ptp(IMAGES, axis=1).mean()
    luma = np.tensordot([0.299, 0.587, 0.114], IMAGES, (0, 1))
    for challenged in (half, grey):
        np.testing.assert_allclose(np.tensordot([0.299, 0.587, 0.114], challenged, (0, 1)), luma, atol=1)


@pytest.mark.parametrize("level", LEVELS)
def test_one_channel_has_no_colour_to_lose(level):
    np.testing.assert_array_equal(challenge(IMAGES[:, :1], "decolorization", level), IMAGES[:, :1])


def test_the_codec_breaks_the_image_into_blocks():
    grey = challenge(IMAGES[:, :1], "codec-error", 5).astype(int)
    steps = np.abs(np.diff(grey, axis=3)).mean(axis=(0, 1, 2))
    at_borders = np.arange(1, 64) % 8 == 0
    assert steps[at_borders].mean() > 3 * steps[~at_borders].mean()


@pytest.mark.parametrize("level", LEVELS)
def test_dirt_veils_by_its_own_colour(level):
    """Towards the same grey from black and from white, hence the contrast of the two tells how much is hidden."""
    black, white = (challenge(np.full_like(GREY, value), "dirty-lens", level) for value in (0, 255))
    hidden = 1 - (white.astype(float) - black) / 255
    assert (hidden.max(axis=(1, 2, 3)) > 0.3).all()
    assert (hidden.min(axis=(1, 2, 3)) < 0.3).all()
    clearly = hidden > 0.2
    colours = black[clearly] / hidden[clearly]
    assert np.ptp(colours) < 10


@pytest.mark.parametrize(("level", "sigma"), [(1, 0.04), (2, 0.08), (3, 0.14)])
def test_noise_is_gaussian_and_independent(level, sigma):
    difference = challenge(GREY, "noise", level) / 255.0 - 128 / 255
    assert difference.std() == pytest.approx(sigma, rel=0.03)
    assert abs(difference.mean()) < sigma / 30
    assert np.quantile(difference, 0.975) == pytest.approx(1.96 * sigma, rel=0.05)
    channels = difference.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(np.corrcoef(channels), np.eye(3), atol=0.04)
