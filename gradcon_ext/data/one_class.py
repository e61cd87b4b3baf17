"""The one-class protocol: train on images of one class, test on that class against all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import DataSet, ImageArray

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OneClassSplit:
    """Images uint8 (n, C, H, W) of a one-class experiment and where they come from.

    Attributes:
        train: inliers of the training split to learn from.
        validation: the inliers of the training split that are held out.
        test: inliers and outliers of the test split.
        test_is_outlier: bool (M,), true for the outliers of `test`.
        train_indices: where in the data set's training split `train` comes from, ascending.
        validation_indices: where in the data set's training split `validation` comes from, ascending.
        test_indices: where in the data set's test split `test` comes from, ascending.
    """

    train: ImageArray
    validation: ImageArray
    test: ImageArray
    test_is_outlier: npt.NDArray[np.bool_]
    train_indices: Indices
    validation_indices: Indices
    test_indices: Indices


def one_class_split(data_set: DataSet, inlier: int | str, seed: int, validation_share: float = 0.1) -> OneClassSplit:
    """Split a labelled data set for one inlier class.

    Train and validation are the inliers of the training split. Test is every inlier of the test split and as
    many outliers, drawn without replacement from the other classes there (all, where there are fewer).
    This is the protocol of Perera et al. (2019) that section 5 of the paper follows.

    Args:
        data_set: the labelled images.
        inlier: index or name of the inlier class.
        seed: decides which inliers are held out and which outliers are drawn.
        validation_share: the share of the training inliers to hold out, above 0 and below 1; at least one is.

    Raises:
        ValueError: no such class, a share out of range, or too few images.
    """
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must be above 0 and below 1, got {validation_share}")
    label = class_index(data_set.class_names, inlier)
    held_out_draw, outlier_draw = np.random.default_rng(seed).spawn(2)  # neither moves the other

    inliers = np.flatnonzero(data_set.train.labels == label)
    if len(inliers) < 2:
        raise ValueError(f"class {inlier!r} has {len(inliers)} training images; expected at least 2")
    held_out = min(max(1, round(validation_share * len(inliers))), len(inliers) - 1)
    shuffled = held_out_draw.permutation(inliers)
    validation_indices, train_indices = np.sort(shuffled[:held_out]), np.sort(shuffled[held_out:])

    is_inlier = data_set.test.labels == label
    if is_inlier.all() or not is_inlier.any():
        raise ValueError(
            f"the test images hold {is_inlier.sum()} of class {inlier!r} among {len(is_inlier)}; "
            "expected both inliers and outliers"
        )
    outliers = np.flatnonzero(~is_inlier)
    drawn = outlier_draw.choice(outliers, min(is_inlier.sum(), len(outliers)), replace=False)
    test_indices = np.sort(np.concatenate([np.flatnonzero(is_inlier), drawn]))

    return OneClassSplit(
        train=data_set.train.images[train_indices],
        validation=data_set.train.images[validation_indices],
        test=data_set.test.images[test_indices],
        test_is_outlier=~is_inlier[test_indices],
        train_indices=train_indices,
        validation_indices=validation_indices,
        test_indices=test_indices,
    )


def class_index(class_names: Sequence[str], wanted: int | str) -> int:
    """Return the index of a class given by index or by name; in names, case does not matter.

    A name that is a whole number and not the name of a class is taken for an index.

    Raises:
        ValueError: no such class; lists those there are.
    """
    names = [name.lower() for name in class_names]
    text = str(wanted).lower()
    if isinstance(wanted, str) and text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    listed = ", ".join(name if name == str(index) else f"{index} {name}" for index, name in enumerate(class_names))
    raise ValueError(f"there is no class {wanted!r}; expected one of {listed}")
