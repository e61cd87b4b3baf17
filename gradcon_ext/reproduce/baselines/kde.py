"""Kernel density estimate (Parzen, 1962)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.reproduce.baselines.components import Features, principal_components

BANDWIDTHS = tuple(2.0 ** (step / 2) for step in range(-9, 11))
"""Tried in turn. The paper of Ruff et al. (2018) begins at 2 ** 0.5, which the likelihood would leave downwards."""

FOLDS = 5

IMAGES_TO_CHOOSE_BY = 1000
"""The bandwidth hardly depends on their number: in D dimensions the best falls with its power -1 / (D + 4)."""


def score(
    train: ImageArray, validation: ImageArray, test: ImageArray, seed: int, epochs: int, checkpoints: Checkpoints
) -> npt.NDArray[np.float64]:
    """Score by the negative log-likelihood, with a Gaussian kernel on principal components.

    As in Ruff et al. (2018, section 4.1) the bandwidth is the one with the highest log-likelihood in five-fold
    cross-validation, though over no more than 1000 training images, which the seed draws.

    Neither `validation` nor `epochs` matters; see `Baseline.score`.
    """
    learned, scored = principal_components(train, test, whiten=False)
    drawn = np.random.default_rng(seed).permutation(len(learned))[:IMAGES_TO_CHOOSE_BY]
    return -log_likelihood(learned, scored, best_bandwidth(learned[drawn]))


def best_bandwidth(features: Features) -> float:
    """Choose from `BANDWIDTHS` by the log-likelihood of `features` (N, D) in cross-validation."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity

    density = KernelDensity(leaf_size=len(features))
    search = GridSearchCV(density, {"bandwidth": BANDWIDTHS}, cv=FOLDS, refit=False).fit(features)
    return float(search.best_params_["bandwidth"])


def log_likelihood(learned: Features, scored: Features, bandwidth: float) -> npt.NDArray[np.float64]:
    """Estimate the density of `learned` (N, D) at each of `scored` (M, D), in nats."""
    from sklearn.neighbors import KernelDensity

    # In a single leaf every distance counts. With more leaves the estimate may be off by hundreds of nats, the more
    # dimensions there are: https://github.com/scikit-learn/scikit-learn/issues/25799.
    density = KernelDensity(bandwidth=bandwidth, leaf_size=len(learned)).fit(learned)
    likelihood: npt.NDArray[np.float64] = density.score_samples(scored)
    return likelihood
