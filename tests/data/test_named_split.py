from __future__ import annotations

import numpy as np

from gradcon_ext.data import one_class_split, read_cifar10, resize
from gradcon_ext.data.named_split import named_split


def test_images_are_resized_and_classes_named(tmp_path):
    records = np.random.default_rng(0).integers(0, 256, (6, 4, 3073), dtype=np.uint8)
    records[:, :, 0] = [9, 0, 9, 1]
    for number, content in enumerate(records, start=1):
        content.tofile(tmp_path / (f"data_batch_{number}.bin" if number <= 5 else "test_batch.bin"))
    given = named_split("cifar10", "9", 1, 28, tmp_path)
    data = read_cifar10(tmp_path)
    split = one_class_split(data, "truck", 1)
    assert given.inlier == "truck"
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(given, part), resize(getattr(split, part), 28))
    assert np.array_equal(given.test_indices, split.test_indices)
    assert given.test_classes == ["truck", "airplane", "truck", "automobile"]
    assert given.test_is_outlier.tolist() == [False, True, False, True]


def test_images_of_the_size_asked_for_are_left_alone():
    given = named_split("digits", "3", 0, 8, None)
    assert given.train.shape[1:] == (1, 8, 8)
    assert given.train.max() == 255
