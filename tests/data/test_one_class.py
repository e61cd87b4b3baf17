from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from gradcon_ext.data import DataSet, LabelledImages, class_index, load, one_class_split

NAMES = ("Cat", "dog", "7")


def labelled(labels, offset=0):
    """Images of one pixel that says which image it is."""
    labels = np.array(labels, np.int64)
    return LabelledImages(np.arange(offset, offset + len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), labels)


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    return DataSet(
        labelled(generator.permutation([0] * 40 + [1] * 20 + [2] * 30)),
        labelled(generator.permutation([0] * 10 + [1] * 5 + [2] * 25), offset=100),
        NAMES,
    )


def test_train_and_validation_are_the_inliers_of_the_training_split(data):
    split = one_class_split(data, 0, seed=0)
    assert len(split.validation) == 4
    assert len(split.train) == 36
    indices = np.concatenate([split.train_indices, split.validation_indices])
    assert sorted(indices) == np.flatnonzero(data.train.labels == 0).tolist()
    np.testing.assert_array_equal(split.train, data.train.images[split.train_indices])
    np.testing.assert_array_equal(split.validation, data.train.images[split.validation_indices])


def test_test_is_every_inlier_and_as_many_different_outliers(data):
    split = one_class_split(data, "cat", seed=0)
    labels = data.test.labels[split.test_indices]
    assert Counter(split.test_is_outlier.tolist()) == {False: 10, True: 10}
    assert split.test_is_outlier.dtype == bool
    np.testing.assert_array_equal(split.test_is_outlier, labels != 0)
    np.testing.assert_array_equal(split.test, data.test.images[split.test_indices])
    assert len(set(split.test_indices)) == 20
    assert set(np.flatnonzero(data.test.labels == 0)) <= set(split.test_indices)


def test_all_outliers_are_taken_where_there_are_fewer_than_inliers(data):
    split = one_class_split(data, "7", seed=0)
    assert Counter(split.test_is_outlier.tolist()) == {False: 25, True: 15}
    assert len(set(split.test_indices)) == 40


def test_the_seed_decides(data):
    first, same, other = (one_class_split(data, 0, seed) for seed in (5, 5, 6))
    for name in ("train_indices", "validation_indices", "test_indices"):
        np.testing.assert_array_equal(getattr(first, name), getattr(same, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_the_share_held_out_does_not_move_the_test_images(data):
    small, large = one_class_split(data, 0, 0, 0.1), one_class_split(data, 0, 0, 0.5)
    assert len(large.validation) == 20
    np.testing.assert_array_equal(small.test_indices, large.test_indices)


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_neither_part_is_empty(data, share):
    split = one_class_split(data, 0, 0, share)
    assert len(split.train) >= 1
    assert len(split.validation) >= 1


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_a_share_out_of_range_is_refused(data, share):
    with pytest.raises(ValueError, match=f"validation_share.* {share}$"):
        one_class_split(data, 0, 0, share)


def test_too_few_images_are_refused(data):
    with pytest.raises(ValueError, match="class 1 .* 1 training images.* 2$"):
        one_class_split(data._replace(train=labelled([0, 0, 1])), 1, 0)
    for labels in ([0, 0, 0], [1, 1, 1]):
        with pytest.raises(ValueError, match="both inliers and outliers"):
            one_class_split(data._replace(test=labelled(labels)), 0, 0)


@pytest.mark.parametrize(
    ("wanted", "index"), [(0, 0), (2, 2), (np.int64(1), 1), ("cat", 0), ("DOG", 1), ("7", 2), ("1", 1)]
)
def test_a_class_is_found_by_index_and_by_name(wanted, index):
    assert class_index(NAMES, wanted) == index


@pytest.mark.parametrize("wanted", [3, -1, 7, "bird", "", "3", "-1", "²", 0.5, True, None])
def test_a_class_that_does_not_exist_is_refused(wanted):
    with pytest.raises(ValueError, match=rf"{re.escape(repr(wanted))};.* 0 Cat, 1 dog, 2 7"):
        class_index(NAMES, wanted)


def test_a_name_that_is_the_index_is_listed_once():
    with pytest.raises(ValueError, match="'3'.* 0, 1 one, 2 1$"):
        class_index(("0", "one", "1"), "3")


def test_mnist_eights(data_root):
    split = one_class_split(load("mnist", data_root), "8", seed=0)
    assert len(split.validation) == 585
    assert len(split.train) == 5266
    assert len(split.test) == 2 * 974
    assert split.test_is_outlier.sum() == 974
    assert not split.test_is_outlier.all()
