"""The features of the shallow methods."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.contrast import contrast_normalised

Features: TypeAlias = npt.NDArray[np.float64]

EXPLAINED_VARIANCE = 0.95


def principal_components(train: ImageArray, test: ImageArray, whiten: bool) -> tuple[Features, Features]:
    """Project contrast-normalised images to the components of 95 % of the variance of `train`.

    Ruff et al. (2018), section 4.1.

    Args:
        train: uint8 (N, C, H, W).
        test: uint8 (M, C, H, W).
        whiten: whether each component is scaled to variance 1 over `train`.

    Returns:
        Features (N, D) and (M, D).
    """
    from sklearn.decomposition import PCA

    learned, scored = (images.reshape(len(images), -1) for images in contrast_normalised(train, test))
    # What "auto" takes for many pixels is a singular value decomposition of the images, several times slower.
    analysis = PCA(EXPLAINED_VARIANCE, whiten=whiten, svd_solver="covariance_eigh").fit(learned)
    return analysis.transform(learned), analysis.transform(scored)
