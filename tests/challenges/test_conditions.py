from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.challenges import CHALLENGES, LEVELS, challenge
from gradcon_ext.data import CURE_TSR_CHALLENGES, resize

RANDOM = ("dirty-lens", "noise", "rain", "shadow", "snow")

names = pytest.mark.parametrize("name", CHALLENGES)


def smooth(shape, count=12):
    """Random images that vary over a quarter of their size."""
    coarse = np.random.default_rng(0).integers(20, 236, (count, shape[0], 4, 4), dtype=np.uint8)
    return resize(coarse, shape[1:])


def stripes(shape, count=12):
    """Five pixels of one colour and five of another, along rows and along columns."""
    channels, height, width = shape
    colours = np.random.default_rng(1).integers(20, 236, (2, count, channels, 1, 1), dtype=np.uint8)
    down, right = np.mgrid[:height, :width] // 5 % 2 == 0
    along = np.where(np.arange(count)[:, None, None] % 2 == 0, down, right)[:, None]
    return np.where(along, *colours)


def severity(images, challenged):
    """The mean squared difference of each image, (N,)."""
    return ((challenged.astype(float) - images) ** 2).mean(axis=(1, 2, 3))


@names
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 28, 28), (3, 40, 64), (1, 64, 40), (3, 8, 8), (1, 9, 31)])
@pytest.mark.parametrize("level", LEVELS)
def test_shape_and_dtype_are_kept_and_the_input_is_untouched(name, shape, level):
    images = smooth(shape, 2)
    images.flags.writeable = False
    challenged = challenge(images, name, level)
    assert challenged.shape == images.shape
    assert challenged.dtype == np.uint8
    assert challenged.flags.writeable
    assert not np.shares_memory(challenged, images)


@names
@pytest.mark.parametrize("make", [smooth, stripes])
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 28, 28), (3, 40, 64)])
def test_severity_grows_with_the_level(name, make, shape):
    images = make(shape)
    by_level = np.stack([severity(images, challenge(images, name, level)) for level in LEVELS])
    if name == "decolorization" and shape[0] == 1:
        assert not by_level.any()
        return
    assert (by_level > 0).all()
    average = by_level.mean(axis=1)
    assert average[-1] > 3 * average[0]
    # A coarse step of JPEG may hit the colours of a single image by chance.
    assert (np.diff(average if name == "codec-error" else by_level, axis=0) >= 0).all()


@names
def test_an_image_depends_on_seed_and_index_alone(name):
    images, others = smooth((3, 28, 28)), stripes((3, 28, 28))
    challenged = challenge(images, name, 3, seed=5)
    np.testing.assert_array_equal(challenge(images, name, 3, seed=5), challenged)
    np.testing.assert_array_equal(challenge(images[:3], name, 3, seed=5), challenged[:3])
    others[4] = images[4]
    np.testing.assert_array_equal(challenge(others, name, 3, seed=5)[4], challenged[4])


@names
def test_what_is_random_differs_by_seed_and_by_index(name):
    same = np.repeat(smooth((3, 28, 28), 1), 2, axis=0)
    first, second = challenge(same, name, 3, seed=0)
    other = challenge(same, name, 3, seed=1)[0]
    assert np.array_equal(first, second) == (name not in RANDOM)
    assert np.array_equal(first, other) == (name not in RANDOM)


@names
def test_black_and_white_stay_in_range(name):
    """Values beyond the range would wrap around: white noise on black would not be dark on average."""
    black, white = np.zeros((2, 3, 16, 16), np.uint8), np.full((2, 3, 16, 16), 255, np.uint8)
    challenged = challenge(black, name, 1).mean(), challenge(white, name, 1).mean()
    assert challenged[0] < 100 < 150 < challenged[1]


@names
def test_no_images_stay_none(name):
    assert challenge(np.empty((0, 3, 28, 28), np.uint8), name, 1).shape == (0, 3, 28, 28)


def test_bad_arguments_are_refused():
    images = smooth((3, 28, 28), 1)
    with pytest.raises(ValueError, match="'fog'.*decolorization, lens-blur, "):
        challenge(images, "fog", 1)
    for level in (0, 6, -1):
        with pytest.raises(ValueError, match=f"level.* 1 to 5.* {level}$"):
            challenge(images, "haze", level)
    with pytest.raises(ValueError, match="seed.* -1$"):
        challenge(images, "haze", 1, seed=-1)
    with pytest.raises(TypeError, match="float64.*uint8"):
        challenge(images / 255, "haze", 1)


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (1, 2, 28, 28), (1, 4, 28, 28), (1, 3, 7, 28), (1, 3, 28, 7)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(N, C, H, W\).* C 1 or 3.* 8 "):
        challenge(np.zeros(shape, np.uint8), "haze", 1)


def test_the_names_are_those_of_cure_tsr():
    assert [name.replace("-", "") for name in CHALLENGES] == [name.lower() for name in CURE_TSR_CHALLENGES]
