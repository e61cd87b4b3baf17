from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.data import read_mnist


def test_the_four_files_make_a_data_set(tmp_path, write_mnist):
    data = read_mnist(write_mnist(tmp_path))
    assert data.train.images.shape == (6, 1, 2, 3)
    assert data.test.images.shape == (4, 1, 2, 3)
    assert data.train.images.dtype == np.uint8
    assert data.test.labels.dtype == np.int64
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.class_names == tuple("0123456789")
    np.testing.assert_array_equal(data.train.images.ravel(), np.arange(36))


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_usual_names_are_found(tmp_path, write_mnist, mark, suffix):
    assert len(read_mnist(write_mnist(tmp_path, suffix, mark)).test.images) == 4


def test_a_missing_file_is_named(tmp_path, write_mnist):
    (write_mnist(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=rf"t10k-labels-idx1-ubyte\[.gz\] in {tmp_path}"):
        read_mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        (
            "train-images-idx3-ubyte",
            np.zeros((6, 2), np.uint8),
            r".*uint8 \(6, 2\).*uint8 \(N, H, W\)",
        ),
        (
            "train-images-idx3-ubyte",
            np.zeros((6, 2, 3), np.int16),
            r".*int16 \(6, 2, 3\).*uint8",
        ),
        ("t10k-labels-idx1-ubyte", np.zeros(3, np.uint8), r".*uint8 \(3,\).*uint8 \(4,\)"),
        ("t10k-labels-idx1-ubyte", np.zeros(4, np.int32), r".*int32 \(4,\).*uint8 \(4,\)"),
        ("train-labels-idx1-ubyte", np.full(6, 10, np.uint8), "label 10.* 0 to 9"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, write_mnist, idx_bytes, name, array, problem):
    (write_mnist(tmp_path) / name).write_bytes(idx_bytes(array))
    with pytest.raises(ValueError, match=f"{name}: {problem}"):
        read_mnist(tmp_path)
