"""The images of a run on a named data set, the same each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.image_size import Size
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.data.named import load
from gradcon_ext.data.one_class import class_index, one_class_split
from gradcon_ext.data.resizing import resize


@dataclass(frozen=True)
class NamedSplit:
    """A one-class split of a named data set, its images uint8 (n, C, H, W) of the size asked for.

    Attributes:
        inlier: name of the inlier class.
        train: inliers to learn from.
        validation: inliers that are held out.
        test: inliers and outliers.
        test_is_outlier: (M,), true for the outliers of `test`.
        test_indices: (M,), where in the data set's test split they come from.
        test_classes: names of their classes.
    """

    inlier: str
    train: ImageArray
    validation: ImageArray
    test: ImageArray
    test_is_outlier: npt.NDArray[np.bool_]
    test_indices: npt.NDArray[np.int64]
    test_classes: list[str]


def named_split(dataset: str, inlier: str, seed: int, size: Size, data_root: Path | None) -> NamedSplit:
    """Load a data set, split it for one inlier class, and bring the images to a size.

    Raises:
        FileNotFoundError: the data set's files are not there.
        ValueError: they are damaged, there is no such class, or no `data_root` though the data set needs one.
    """
    data = load(dataset, data_root)
    split = one_class_split(data, inlier, seed)
    names = data.class_names
    return NamedSplit(
        inlier=names[class_index(names, inlier)],
        # After the split, since resizing a whole data set takes long.
        train=resize(split.train, size),
        validation=resize(split.validation, size),
        test=resize(split.test, size),
        test_is_outlier=split.test_is_outlier,
        test_indices=split.test_indices,
        test_classes=[names[label] for label in data.test.labels[split.test_indices]],
    )
