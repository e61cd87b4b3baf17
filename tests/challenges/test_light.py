from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.challenges import LEVELS, challenge

IMAGES = np.random.default_rng(0).integers(1, 256, (4, 3, 28, 28), dtype=np.uint8)
WHITE = np.full((20, 3, 40, 60), 255, np.uint8)


@pytest.mark.parametrize("level", LEVELS)
def test_darkening_leaves_less_of_dark_places(level):
    dark = challenge(IMAGES, "darkening", level)
    assert (dark <= IMAGES).all()
    share = dark / IMAGES
    assert share[IMAGES < 50].mean() < share[IMAGES > 200].mean()


@pytest.mark.parametrize("level", LEVELS)
def test_exposure_brightens_in_proportion_until_it_clips(level):
    bright = challenge(IMAGES, "exposure", level)
    gain = bright[bright < 255] / IMAGES[bright < 255]
    assert np.median(gain) > 1
    np.testing.assert_allclose(bright, np.minimum(np.median(gain) * IMAGES, 255), atol=3)
    assert (bright == 255).mean() > (IMAGES == 255).mean()


@pytest.mark.parametrize("level", LEVELS)
def test_a_shadow_darkens_one_side_and_leaves_the_other(level):
    shaded = challenge(WHITE, "shadow", level)
    assert (shaded.max(axis=(1, 2, 3)) == 255).all()
    darkest = shaded.min(axis=(1, 2, 3), keepdims=True)
    assert (darkest < 200).all()
    in_shadow = (shaded < (255.0 + darkest) / 2).mean(axis=(1, 2, 3))
    assert ((in_shadow > 0.2) & (in_shadow < 0.8)).all()


def test_shadows_fall_from_all_directions():
    shaded = challenge(WHITE, "shadow", 5)
    halves = [
        half.mean(axis=(1, 2, 3)) for half in (shaded[:, :, :20], shaded[:, :, 20:], shaded[..., :30], shaded[..., 30:])
    ]
    assert set(np.argmin(halves, axis=0)) == {0, 1, 2, 3}
