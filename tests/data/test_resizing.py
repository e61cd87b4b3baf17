from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import resize

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("resampling", [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_planes_are_resized_as_pillow_resizes_colour_images(resampling):
    resized = resize(IMAGES, 28, resampling)
    assert resized.shape == (3, 3, 28, 28)
    assert resized.dtype == np.uint8
    for image, given in zip(IMAGES, resized, strict=True):
        colour = Image.fromarray(image.transpose(1, 2, 0)).resize((28, 28), resampling)
        np.testing.assert_array_equal(given, np.asarray(colour).transpose(2, 0, 1))


def test_bilinear_is_the_default():
    np.testing.assert_array_equal(resize(IMAGES, 28), resize(IMAGES, 28, Image.Resampling.BILINEAR))
    assert not np.array_equal(resize(IMAGES, 28), resize(IMAGES, 28, Image.Resampling.LANCZOS))


def test_size_is_height_and_width():
    assert resize(IMAGES, (10, 20)).shape == (3, 3, 10, 20)


def test_shrinking_averages_the_pixels_between():
    stripes = np.zeros((1, 1, 64, 64), np.uint8)
    stripes[..., ::2] = 255
    assert np.abs(resize(stripes, 8).astype(int) - 127).max() < 16


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize(IMAGES, 32), IMAGES)


def test_no_images_stay_none():
    assert resize(IMAGES[:0], 28).shape == (0, 3, 28, 28)


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="float64.*uint8"):
        resize(IMAGES / 255, 28)
    with pytest.raises(ValueError, match=r"\(3, .*\(N, C, H, W\)|\(N, C, H, W\).*\(3, "):
        resize(IMAGES[0], 28)
    with pytest.raises(ValueError, match="size .* 0$"):
        resize(IMAGES, 0)
