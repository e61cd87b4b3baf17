from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gradcon_ext.data import read_digits


def test_the_digits_are_split_and_scaled():
    data = read_digits()
    assert data.train.images.shape == (1348, 1, 8, 8)
    assert data.test.images.shape == (449, 1, 8, 8)
    images = np.concatenate([data.train.images, data.test.images])
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert set(data.test.labels) == set(range(10))
    assert data.class_names == tuple("0123456789")
    # The same images under the same labels as the source, in another order.
    source, labels = load_digits(return_X_y=True)
    expected = sorted((label, *np.rint(image * 255 / 16)) for image, label in zip(source, labels, strict=True))
    given = np.concatenate([data.train.labels, data.test.labels])
    assert sorted((label, *image.ravel()) for image, label in zip(images, given, strict=True)) == expected


def test_the_seed_decides_the_split():
    first, same, other = read_digits(seed=3), read_digits(seed=3), read_digits(seed=4)
    np.testing.assert_array_equal(first.train.images, same.train.images)
    np.testing.assert_array_equal(first.test.labels, same.test.labels)
    assert not np.array_equal(first.test.labels, other.test.labels)


def test_the_share_decides_the_sizes():
    assert len(read_digits(test_share=0.5).test.labels) == 898


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"test_share.* {share}$"):
        read_digits(test_share=share)
