from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.reproduce.baselines.contrast import contrast_normalised

GENERATOR = np.random.default_rng(0)
TRAIN = GENERATOR.integers(0, 100, (5, 3, 4, 6), dtype=np.uint8)
TEST = GENERATOR.integers(0, 100, (7, 3, 4, 6), dtype=np.uint8)


def test_the_training_images_span_the_unit_interval():
    train, _ = contrast_normalised(TRAIN, TEST)
    assert (train.min(), train.max()) == (0, 1)


def test_each_image_has_the_same_mean_and_contrast():
    for images in contrast_normalised(TRAIN, TEST):
        mean = images.mean((1, 2, 3), keepdims=True)
        np.testing.assert_allclose(mean, mean[0, 0, 0, 0])
        contrast = np.abs(images - mean).mean((1, 2, 3))
        np.testing.assert_allclose(contrast, contrast[0])
    first, second = (images[0] for images in contrast_normalised(TRAIN, TRAIN[:1]))
    np.testing.assert_array_equal(first, second)


def test_brightness_and_contrast_do_not_matter():
    _, expected = contrast_normalised(TRAIN, TEST)
    _, brighter = contrast_normalised(TRAIN, 2 * TEST + 40)
    np.testing.assert_allclose(brighter, expected)


def test_a_constant_image_comes_to_the_mean():
    constant = np.full((1, 3, 4, 6), 77, np.uint8)
    train, scored = contrast_normalised(TRAIN, constant)
    np.testing.assert_allclose(scored, train.mean())


def test_training_images_without_contrast_are_refused():
    with pytest.raises(ValueError, match=" 5 training images.*single value"):
        contrast_normalised(np.zeros_like(TRAIN), TEST)
