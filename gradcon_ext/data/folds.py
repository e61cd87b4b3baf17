"""The five-fold protocol: train on three folds of one class, and test on the fifth at any share of outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import DataSet, ImageArray
from gradcon_ext.data.one_class import Indices, class_index

FOLDS = 5


@dataclass(frozen=True)
class Mixture:
    """Inliers and outliers of one fold, as indices into `FoldSplit.images`.

    Attributes:
        inliers: ascending.
        outliers: in random order; the first ones are those of a smaller share.
    """

    inliers: Indices
    outliers: Indices

    def with_outliers(self, percent: int) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Take all inliers and as many outliers as make `percent` of the whole.

        Returns:
            Indices (M,), and which of them are outliers, (M,).

        Raises:
            ValueError: a percentage that is not from 1 to 99, or more outliers than there are.
        """
        if not 1 <= percent <= 99:
            raise ValueError(f"percent must be from 1 to 99, got {percent}")
        count = round(len(self.inliers) * percent / (100 - percent))
        if not 1 <= count <= len(self.outliers):
            raise ValueError(f"{percent} % would be {count} outliers beside {len(self.inliers)} inliers")
        indices = np.concatenate([self.inliers, self.outliers[:count]])
        return indices, np.arange(len(indices)) >= len(self.inliers)


@dataclass(frozen=True)
class FoldSplit:
    """A data set's images, cut for one inlier class.

    Attributes:
        images: all of them, the training split before the test split, uint8 (N, C, H, W).
        train: inliers to learn from, three folds of them; ascending indices into `images`.
        validation: the fold that the epoch and the threshold are chosen by.
        test: the fold that is only scored.
    """

    images: ImageArray
    train: Indices
    validation: Mixture
    test: Mixture


def five_fold_split(data_set: DataSet, inlier: int | str, fold: int, seed: int = 0) -> FoldSplit:
    """Cut a labelled data set into five folds of each class: three to train, one to validate, one to test.

    This is the protocol of Pidhorskyi et al. (2018) that section 5 of the paper follows for fashion-MNIST. The two
    splits of the data set are joined first.

    Args:
        data_set: the labelled images.
        inlier: index or name of the inlier class.
        fold: which of the five to test on, from 0; the next one, or the first after the last, is for validation.
        seed: decides which images go to which fold, and the order of the outliers.

    Raises:
        ValueError: no such class or fold, or a class with fewer than five images.
    """
    if not 0 <= fold < FOLDS:
        raise ValueError(f"fold must be from 0 to {FOLDS - 1}, got {fold}")
    label = class_index(data_set.class_names, inlier)
    labels = np.concatenate([data_set.train.labels, data_set.test.labels])
    cut, order = np.random.default_rng(seed).spawn(2)  # neither moves the other
    fold_of = np.empty(len(labels), np.int64)
    for each in range(len(data_set.class_names)):
        members = cut.permutation(np.flatnonzero(labels == each))
        if len(members) < FOLDS:
            raise ValueError(
                f"class {data_set.class_names[each]!r} has {len(members)} images; expected {FOLDS} or more"
            )
        fold_of[members] = np.arange(len(members)) % FOLDS

    shuffled = order.permutation(len(labels))

    def mixture(of_fold: int) -> Mixture:
        outliers = shuffled[(fold_of[shuffled] == of_fold) & (labels[shuffled] != label)]
        return Mixture(np.flatnonzero((fold_of == of_fold) & (labels == label)), outliers)

    validation = (fold + 1) % FOLDS
    return FoldSplit(
        images=np.concatenate([data_set.train.images, data_set.test.images]),
        train=np.flatnonzero((fold_of != fold) & (fold_of != validation) & (labels == label)),
        validation=mixture(validation),
        test=mixture(fold),
    )
