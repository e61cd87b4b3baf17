from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import DataSet, LabelledImages, one_class_split, read_digits, resize
from gradcon_ext.data.folds import five_fold_split
from gradcon_ext.reproduce import splits
from gradcon_ext.reproduce.splits import (
    CIFAR10_LANCZOS,
    ONE_CLASS_FASHION,
    class_names,
    cure_tsr_path,
    data_set,
    five_fold,
    image_shape,
    one_class,
    shrunk,
    training_facts,
    training_images,
)
from support.cure_tsr_files import write_cure_tsr, write_stand_in


def test_one_class_protocol():
    split = one_class_split(read_digits(), "3", seed=1)
    train, validation = training_images("digits", "3", 1, None)
    np.testing.assert_array_equal(train, split.train)
    np.testing.assert_array_equal(validation, split.validation)
    np.testing.assert_array_equal(one_class("digits", "3", 1, None).test, split.test)
    assert training_facts("digits", "3", 1) == {"dataset": "digits", "inlier": "3", "seed": 1}
    assert class_names("digits", None) == tuple("0123456789")


def test_five_fold_protocol(two_classes):
    split = five_fold_split(two_classes, "Dog", fold=2)
    train, validation = training_images("fashion-mnist", "Dog", 2, None)
    np.testing.assert_array_equal(train, split.images[split.train])
    np.testing.assert_array_equal(validation, split.images[split.validation.inliers])
    np.testing.assert_array_equal(five_fold("fashion-mnist", "Dog", 2, None).test.outliers, split.test.outliers)
    assert training_facts("fashion-mnist", "Dog", 2) == {"dataset": "fashion-mnist", "inlier": "Dog", "fold": 2}


@pytest.fixture
def colours(monkeypatch):
    """Takes the place of every data set on file: noise of 32x32 pixels in classes A and B; notes which one is read."""
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    part = LabelledImages(images, np.arange(60) % 2)
    names = []
    monkeypatch.setattr(splits, "load", lambda name, root: names.append(name) or DataSet(part, part, ("A", "B")))
    data_set.cache_clear()
    yield names
    data_set.cache_clear()


def test_cifar10_as_the_published_code_shrinks_it(colours):
    ours, published = (training_images(name, "A", 0, None) for name in ("cifar10", CIFAR10_LANCZOS))
    split = one_class("cifar10", "A", 0, None)
    assert set(colours) == {"cifar10"}
    for kind, given, theirs in zip(("train", "validation"), ours, published, strict=True):
        whole = getattr(split, kind)
        np.testing.assert_array_equal(given, resize(whole, 28))
        np.testing.assert_array_equal(theirs, resize(whole, 28, Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(theirs, shrunk(CIFAR10_LANCZOS, whole))
    plain, facts = (training_facts(name, "A", 0) for name in ("cifar10", CIFAR10_LANCZOS))
    assert facts == {**plain, "shrunk by": "LANCZOS"}


def test_fashion_mnist_by_seed_as_well(colours):
    train, validation = training_images(ONE_CLASS_FASHION, "A", 3, None)
    split = one_class(ONE_CLASS_FASHION, "A", 3, None)
    assert colours[0] == "fashion-mnist"
    np.testing.assert_array_equal(train, shrunk(ONE_CLASS_FASHION, split.train))
    np.testing.assert_array_equal(validation, shrunk(ONE_CLASS_FASHION, split.validation))
    assert training_facts(ONE_CLASS_FASHION, "A", 3) == {"dataset": "fashion-mnist", "inlier": "A", "seed": 3}


def test_traffic_signs_are_held_out_at_random(tmp_path):
    write_cure_tsr(tmp_path / "cure-tsr", train=20)
    (train, validation), other = (training_images("cure-tsr", "all", seed, tmp_path) for seed in (0, 1))
    assert (len(train), len(validation)) == (18, 2)
    assert train.shape[1:] == (image_shape("cure-tsr")[0], 28, 28)
    assert len(np.unique(np.concatenate([train, validation]), axis=0)) == 20
    np.testing.assert_array_equal(training_images("cure-tsr", "all", 0, tmp_path)[1], validation)
    assert not np.array_equal(other[1], validation)
    assert class_names("cure-tsr", None) == ("all",)
    assert training_facts("cure-tsr", "all", 1) == {"dataset": "cure-tsr", "inlier": "all", "seed": 1}


def test_the_real_traffic_signs_go_before_those_that_stand_in(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"CURE-TSR .*{tmp_path}: .*cure-tsr, "):
        cure_tsr_path(tmp_path)
    write_stand_in(tmp_path)
    assert cure_tsr_path(tmp_path) == (tmp_path / "gtsrb-as-cure-tsr" / "gtsrb-as-cure-tsr.tar.gz", True)
    (tmp_path / "CURE-TSR.tar.gz").touch()
    assert cure_tsr_path(tmp_path) == (tmp_path / "CURE-TSR.tar.gz", False)


def digest(*indices):
    return hashlib.sha256(np.concatenate([part.astype("<i8") for part in indices]).tobytes()).hexdigest()[:16]


# Metrics of another split could not be compared with those that are on record.
@pytest.mark.parametrize(
    ("dataset", "inlier", "seed", "expected"),
    [
        ("mnist", "0", 0, "591e55c9e611ccfb"),
        ("mnist", "0", 1, "9bd2d0bfc0a1c5be"),
        ("mnist", "8", 0, "0f96d8cd7bddacc7"),
        ("mnist", "8", 1, "d0a63469b4467313"),
        ("cifar10", "0", 0, "41d0ea24a3ea2282"),
        ("cifar10", "0", 1, "943af61b437a54f2"),
    ],
)
def test_one_class_splits_are_frozen(data_root, dataset, inlier, seed, expected):
    split = one_class(dataset, inlier, seed, data_root)
    assert digest(split.train_indices, split.validation_indices, split.test_indices) == expected


@pytest.mark.parametrize(
    ("fold", "seed", "expected"),
    [(0, 0, "b858dc82f84575bd"), (4, 0, "7769952788f6351b"), (0, 1, "7918a7045da1d993"), (4, 1, "9ee62f0924f801d3")],
)
def test_five_fold_splits_are_frozen(data_root, fold, seed, expected):
    split = five_fold_split(data_set("fashion-mnist", data_root), 0, fold, seed)
    parts = (split.validation.inliers, split.validation.outliers, split.test.inliers, split.test.outliers)
    assert digest(split.train, *parts) == expected
