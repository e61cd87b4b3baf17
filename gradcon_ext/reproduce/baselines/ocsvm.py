"""One-class support vector machine (Schölkopf et al., 2001)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.components import principal_components

NU = 0.1
"""The share of the training images that may lie outside; the larger of the two that Ruff et al. (2018) report on."""


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the distance to the separating hyperplane, with a Gaussian kernel on principal components.

    Ruff et al. (2018, section 4.1) choose the kernel's gamma by labelled outliers out of the test set, which gives
    this baseline an advantage that no other has. Here gamma is 1 / D for D whitened components (scikit-learn's
    "scale"), which looks at no outlier. The components are whitened, unlike theirs, since one untuned gamma has to
    suit all of them.

    Nothing in it is random, and neither `validation` nor `epochs` matters; see `Baseline.score`.
    """
    from sklearn.svm import OneClassSVM

    learned, scored = principal_components(train, test, whiten=True)
    machine = OneClassSVM(kernel="rbf", gamma="scale", nu=NU).fit(learned)
    distances: npt.NDArray[np.float64] = machine.decision_function(scored)
    return -distances
