"""What every reader of a labelled data set returns."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

ImageArray: TypeAlias = npt.NDArray[np.uint8]
LabelArray: TypeAlias = npt.NDArray[np.int64]


class LabelledImages(NamedTuple):
    """Images uint8 (N, C, H, W) and the class index of each, int64 (N,)."""

    images: ImageArray
    labels: LabelArray


class DataSet(NamedTuple):
    """A labelled data set with its official split; `class_names[label]` is the name of a class."""

    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...]
