"""Drawing how the scores of inliers and outliers are distributed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradcon_ext.detector.parts import losses_of
from gradcon_ext.scoring.evaluation import Evaluation
from gradcon_ext.scoring.scores import Scores
from gradcon_ext.storage.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito's palette, which every kind of colour vision tells apart.
INLIER = "#0072B2"
OUTLIER = "#D55E00"

LOSS_LABELS = {
    "reconstruction": "reconstruction loss",
    "latent": "latent loss",
    "gradient": "gradient loss (minus the mean cosine)",
    "combined": "anomaly score",
    "direction": "direction of the code, from those of training",
    "code": "code, from those of training",
    "balanced": "balanced score",
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
        # By this name `gradcon evaluate` knows its own file again, and replaces no other.
        metadata = {"Software": "gradcon_ext"} if temporary.suffix == ".png" else None
        figure.savefig(temporary, dpi=150, metadata=metadata)


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
        draw_two(axes, {"inliers": values[~is_outlier], "outliers": values[is_outlier]})
        axes.set_title(f"AUROC {evaluation.auroc[name]:.3f}")
        axes.set_xlabel(LOSS_LABELS[name])
    panels[0].set_ylabel("images")
    panels[0].legend(frameon=False)
    return figure


def draw_two(axes: Axes, values: Mapping[str, npt.NDArray[np.floating]]) -> int:
    """Draw two distributions over common bins, told apart by colour and by outline.

    Args:
        axes: to draw in.
        values: of two kinds of samples, by the names of the kinds, such as inliers and outliers.

    Returns:
        How many samples the two histograms have in common: the sum over the bins of the smaller count.
    """
    edges = common_edges(values).tolist()
    (first, first_values), (second, second_values) = values.items()
    ours, _, _ = axes.hist(first_values, edges, color=INLIER, alpha=0.5, label=first)
    theirs, _, _ = axes.hist(second_values, edges, color=OUTLIER, histtype="step", linewidth=1.8, label=second)
    axes.locator_params(axis="x", nbins=5)  # more labels would touch
    return int(np.minimum(np.asarray(ours), np.asarray(theirs)).sum())


def common_edges(values: Mapping[str, npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
    """Return the edges (B + 1,) of the bins that `draw_two` counts in."""
    every = np.concatenate(list(values.values()))
    return np.histogram_bin_edges(every, bins=min(40, 2 * isqrt(len(every))))
