from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gradcon_ext.data import DataSet, LabelledImages
from gradcon_ext.data.folds import Mixture, five_fold_split

NAMES = ("shirt", "bag", "boot")


def data_set(sizes):
    """Classes of these sizes in random order; each image is one pixel that says which image it is."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    cut = len(labels) // 3
    return DataSet(LabelledImages(images[:cut], labels[:cut]), LabelledImages(images[cut:], labels[cut:]), NAMES)


def labels_of(data):
    return np.concatenate([data.train.labels, data.test.labels])


@pytest.fixture
def data():
    return data_set([40, 25, 60])


any_split = given(
    sizes=st.lists(st.integers(5, 60), min_size=3, max_size=3),
    inlier=st.integers(0, 2),
    fold=st.integers(0, 4),
    seed=st.integers(0, 99),
)


@any_split
def test_every_inlier_is_in_one_part(sizes, inlier, fold, seed):
    data = data_set(sizes)
    split = five_fold_split(data, inlier, fold, seed)
    parts = [split.train, split.validation.inliers, split.test.inliers]
    assert sorted(np.concatenate(parts)) == np.flatnonzero(labels_of(data) == inlier).tolist()
    assert all((np.diff(part) > 0).all() for part in parts)


@any_split
def test_folds_share_no_outlier_and_cover_every_class_evenly(sizes, inlier, fold, seed):
    data = data_set(sizes)
    split = five_fold_split(data, inlier, fold, seed)
    assert not set(split.validation.outliers) & set(split.test.outliers)
    for mixture in (split.validation, split.test):
        indices = np.concatenate([mixture.inliers, mixture.outliers])
        counts = np.bincount(labels_of(data)[indices], minlength=3)
        assert all(size // 5 <= count <= ceil(size / 5) for size, count in zip(sizes, counts, strict=True))
        assert len(set(indices)) == len(indices)
        assert inlier not in labels_of(data)[mixture.outliers]


@pytest.mark.parametrize("inlier", NAMES)
@pytest.mark.parametrize("fold", range(5))
def test_three_fifths_to_train_and_one_each_to_validate_and_to_test(data, inlier, fold):
    split = five_fold_split(data, inlier, fold)
    size = {"shirt": 40, "bag": 25, "boot": 60}[inlier]
    parts = (split.train, split.validation.inliers, split.test.inliers)
    assert [5 * len(part) for part in parts] == [3 * size, size, size]
    assert len(split.validation.outliers) == len(split.test.outliers) == (125 - size) / 5


def test_the_images_are_those_of_both_official_splits(data):
    split = five_fold_split(data, "bag", 0)
    np.testing.assert_array_equal(split.images.ravel(), np.arange(125))


def test_the_fold_rotates(data):
    rotation = [five_fold_split(data, "boot", fold) for fold in range(5)]
    for split, following in zip(rotation, rotation[1:] + rotation[:1], strict=True):
        np.testing.assert_array_equal(split.validation.inliers, following.test.inliers)
        np.testing.assert_array_equal(split.validation.outliers, following.test.outliers)
    labels = labels_of(data)
    tested = np.concatenate([split.test.inliers for split in rotation])
    assert sorted(tested) == np.flatnonzero(labels == 2).tolist()
    outliers = np.concatenate([split.test.outliers for split in rotation])
    assert sorted(outliers) == np.flatnonzero(labels != 2).tolist()


def test_the_seed_decides(data):
    first, same, other = (five_fold_split(data, "shirt", 1, seed) for seed in (5, 5, 6))
    for part in (
        lambda split: split.train,
        lambda split: split.validation.inliers,
        lambda split: split.test.inliers,
        lambda split: split.test.outliers,
    ):
        np.testing.assert_array_equal(part(first), part(same))
        assert not np.array_equal(part(first), part(other))


def test_the_folds_are_the_same_whichever_class_is_the_inlier(data):
    bags, boots = five_fold_split(data, "bag", 3), five_fold_split(data, "boot", 3)
    of_the_fold = [sorted([*split.test.inliers, *split.test.outliers]) for split in (bags, boots)]
    assert of_the_fold[0] == of_the_fold[1]


def test_outliers_are_in_random_order(data):
    outliers = five_fold_split(data, "bag", 0).test.outliers
    assert outliers.tolist() != sorted(outliers)
    assert set(labels_of(data)[outliers[:8]]) == {0, 2}


@given(inliers=st.integers(1, 200), percent=st.integers(1, 99), spare=st.integers(0, 9))
def test_outliers_make_up_their_percentage(inliers, percent, spare):
    exact = inliers * percent / (100 - percent)
    assume(exact > 0.5)  # else there would be none
    mixture = Mixture(np.arange(inliers), 10_000 + np.random.default_rng(0).permutation(ceil(exact) + spare))
    indices, is_outlier = mixture.with_outliers(percent)
    assert is_outlier.dtype == bool
    assert abs(is_outlier.sum() - exact) <= 0.5
    assert indices[~is_outlier].tolist() == mixture.inliers.tolist()
    assert indices[is_outlier].tolist() == mixture.outliers[: is_outlier.sum()].tolist()


@given(st.integers(1, 98), st.integers(1, 98))
def test_outliers_of_a_smaller_share_are_the_first_of_a_larger_one(first, second):
    mixture = Mixture(np.arange(50), 100 + np.random.default_rng(0).permutation(50 * 99))
    smaller, larger = (mixture.with_outliers(percent) for percent in sorted([first, second]))
    assert larger[0][: len(smaller[0])].tolist() == smaller[0].tolist()
    assert larger[1][: len(smaller[1])].tolist() == smaller[1].tolist()


def test_half_and_half():
    indices, is_outlier = Mixture(np.array([3, 8]), np.array([7, 1, 5])).with_outliers(50)
    assert indices.tolist() == [3, 8, 7, 1]
    assert is_outlier.tolist() == [False, False, True, True]


@pytest.mark.parametrize("percent", [-10, 0, 100, 0.5])
def test_a_percentage_out_of_range_is_refused(percent):
    with pytest.raises(ValueError, match=f"percent.* 1 to 99.* {percent}$"):
        Mixture(np.arange(5), np.arange(5, 10)).with_outliers(percent)


@pytest.mark.parametrize(("percent", "count"), [(1, 0), (60, 8)])
def test_too_few_images_for_a_percentage_are_refused(percent, count):
    with pytest.raises(ValueError, match=f"^{percent} %.* {count} outliers.* 5 inliers"):
        Mixture(np.arange(5), np.arange(5, 12)).with_outliers(percent)


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_does_not_exist_is_refused(data, fold):
    with pytest.raises(ValueError, match=f"fold.* 0 to 4.* {fold}$"):
        five_fold_split(data, 0, fold)


def test_a_class_that_does_not_exist_is_refused(data):
    with pytest.raises(ValueError, match="'sandal'.* 0 shirt, 1 bag, 2 boot"):
        five_fold_split(data, "sandal", 0)


def test_a_class_that_does_not_fill_the_folds_is_refused():
    with pytest.raises(ValueError, match="'bag'.* 4 images.* 5 "):
        five_fold_split(data_set([9, 4, 9]), "shirt", 0)
