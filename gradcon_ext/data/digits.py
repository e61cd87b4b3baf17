"""The 8x8 digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

import numpy as np

from gradcon_ext.data.labelled import DataSet, LabelledImages


def read_digits(seed: int = 0, test_share: float = 0.25) -> DataSet:
    """Read scikit-learn's 1797 digits as images uint8 (N, 1, 8, 8), split at random into train and test.

    Args:
        seed: decides the split.
        test_share: the share of the images in the test split, above 0 and below 1.

    Raises:
        ValueError: `test_share` out of range.
    """
    from sklearn.datasets import load_digits  # slow to import, and needed here alone

    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be above 0 and below 1, got {test_share}")
    images, labels = load_digits(return_X_y=True)
    scaled = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)  # published as 0 to 16
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = np.split(order, [round(test_share * len(order))])
    return DataSet(
        LabelledImages(scaled[train], labels[train].astype(np.int64)),
        LabelledImages(scaled[test], labels[test].astype(np.int64)),
        tuple("0123456789"),
    )
