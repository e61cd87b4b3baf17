"""Drawing how the scores of inliers and outliers are distributed."""

from __future__ import annotations

import os
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradcon_ext.evaluation import Evaluation, losses_of
from gradcon_ext.files import replace_file
from gradcon_ext.scorer import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito's palette, which every kind of colour vision tells apart.
_INLIER = "#0072B2"
_OUTLIER = "#D55E00"

_AXES = {
    "reconstruction": "reconstruction loss",
    "latent": "latent loss",
    "gradient": "gradient loss (minus the mean cosine)",
    "combined": "anomaly score",
}


def save_histogram(
    path: str | os.PathLike[str],
    scores: Scores,
    is_outlier: npt.NDArray[np.bool_],
    evaluation: Evaluation,
    title: str,
) -> None:
    """Write the figure of `draw_histogram` as an image, by rename.

    Args:
        path: the suffix tells the format: .png, .pdf, .svg, ...
        scores: of N images.
        is_outlier: (N,), true for each outlier.
        evaluation: of these scores.
        title: of the figure.
    """
    figure = draw_histogram(scores, is_outlier, evaluation, title)
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_histogram(scores: Scores, is_outlier: npt.NDArray[np.bool_], evaluation: Evaluation, title: str) -> Figure:
    """Draw one histogram for each loss, inliers against outliers; the arguments are those of `save_histogram`."""
    # Slow to import, and needed here alone. pyplot is not: it keeps figures in global state.
    from matplotlib.figure import Figure

    losses = losses_of(scores)
    figure = Figure(figsize=(3.6 * len(losses), 3.6), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(losses), squeeze=False)[0]
    for axes, (name, loss) in zip(panels, losses.items(), strict=True):
        values = loss.numpy()
        edges = np.histogram_bin_edges(values, bins=min(40, 2 * isqrt(len(values))))
        axes.hist(values[~is_outlier], edges, color=_INLIER, alpha=0.5, label="inliers")
        # In outline, so that the two are told apart without colour as well.
        axes.hist(values[is_outlier], edges, color=_OUTLIER, histtype="step", linewidth=1.8, label="outliers")
        axes.set_title(f"AUROC {evaluation.auroc[name]:.3f}")
        axes.set_xlabel(_AXES[name])
        axes.locator_params(axis="x", nbins=5)  # more labels would touch
    panels[0].set_ylabel("images")
    panels[0].legend(frameon=False)
    return figure
