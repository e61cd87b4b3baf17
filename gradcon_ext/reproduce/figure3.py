"""Figure 3: how far gradients of learned images are aligned with each other, and with those of missing ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradcon_ext.alignment import average_alignment
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import DETECTOR
from gradcon_ext.losses import loss_of
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure import LINE_STYLES, Figure
from gradcon_ext.reproduce.published import published
from gradcon_ext.reproduce.splits import one_class, shrunk
from gradcon_ext.reproduce.training import trained_epochs
from gradcon_ext.scoring.histogram import draw_two
from gradcon_ext.training.run_folder import last_attempt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATASET = "cifar10"
MODELS = {"unconstrained": "cae", "constrained": "cae-grad"}


class Alignments(NamedTuple):
    """Average alignment of each inlier, mean over the layers, (N,): with all other inliers, and with the outliers."""

    learned: npt.NDArray[np.float32]
    missing: npt.NDArray[np.float32]


def figure3(inlier: str, runs: Path, data_root: Path | None) -> Figure:
    """Draw the alignments of two finished runs, and the cosines of their training, for one inlier class."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(10, 7), layout="constrained")
    panels = drawing.subplots(2, 2)
    rows: list[list[object]] = []
    overlaps = {}
    for column, (kind, model) in enumerate(MODELS.items()):
        experiment = Experiment(DATASET, model, inlier, 0)
        alignments = alignments_of(experiment, runs, data_root)
        cosines = cosines_of_training(runs / experiment.name)[: trained_epochs(experiment, runs)]
        overlaps[kind] = draw_two(panels[0, column], alignments._asdict())
        panels[0, column].set_title(f"{kind}: {overlaps[kind]} of {len(alignments.learned)} overlap")
        panels[0, column].set_xlabel("average alignment, mean over the decoder's layers")
        panels[0, column].legend(frameon=False)
        _draw_training(panels[1, column], cosines)
        panels[1, column].set_title(f"{kind}: training gradients")
        rows += _rows(kind, alignments, cosines)
    panels[0, 0].set_ylabel("images")
    panels[1, 0].set_ylabel("cosine to the running mean")
    panels[1, 0].legend([f"layer {layer}" for layer in range(1, 1 + len(LINE_STYLES))], frameon=False, ncols=2)
    of_paper = published()["figure3"]["overlapping_samples_of_1000"]
    caption = (
        f"Figure 3, CIFAR-10, inliers {inlier}. Top: average alignment of every inlier's gradients with those of all "
        f"other inliers (learned) and of the outliers (missing). {overlaps['unconstrained']} samples overlap without "
        f"the constraint and {overlaps['constrained']} with it; the paper has {of_paper['unconstrained']} and "
        f"{of_paper['constrained']}. Bottom: cosine of the training gradients to their running mean, by decoder layer."
    )
    return Figure(drawing, ["model", "series", "epoch", "cosine"], rows, caption)


def _draw_training(axes: Axes, cosines: npt.NDArray[np.float64]) -> None:
    epochs = 1 + np.arange(len(cosines))
    for layer, (colour, dashes, marker) in zip(cosines.T, LINE_STYLES, strict=True):
        axes.plot(epochs, layer, color=colour, ls=dashes, marker=marker, ms=3)
    axes.set_ylim(-0.1, 1)
    axes.set_xlabel("epoch")


def _rows(kind: str, alignments: Alignments, cosines: npt.NDArray[np.float64]) -> Iterator[list[object]]:
    for series, values in alignments._asdict().items():
        yield from ([kind, series, "", value] for value in values)
    for layer, of_layer in enumerate(cosines.T, 1):
        yield from ([kind, f"layer {layer}", epoch, value] for epoch, value in enumerate(of_layer, 1))


def alignments_of(experiment: Experiment, runs: Path, data_root: Path | None) -> Alignments:
    """Align the gradients of the test images of a finished run."""
    detector = Detector.load(runs / experiment.name / DETECTOR)
    split = one_class(experiment.dataset, experiment.inlier, experiment.seed, data_root)
    images = torch.from_numpy(shrunk(experiment.dataset, split.test)).float() / 255
    is_outlier = torch.from_numpy(split.test_is_outlier)
    inliers, outliers = images[~is_outlier], images[is_outlier]
    sample_losses = loss_of(detector.model)

    def primal(output: Any, given: Tensor) -> Tensor:
        return sample_losses(output, given).total

    def mean_over_layers(others: Tensor | None) -> npt.NDArray[np.float32]:
        layers = average_alignment(detector.model, primal, inliers, list(detector.references), others=others)
        mean: npt.NDArray[np.float32] = torch.stack(list(layers.values())).mean(0).numpy()
        return mean

    return Alignments(mean_over_layers(None), mean_over_layers(outliers))


def cosines_of_training(folder: Path) -> npt.NDArray[np.float64]:
    """Read the mean cosine of each layer in each epoch of the attempt that a run ended with, (epochs, layers)."""
    return np.array([entry["cosine"] for entry in last_attempt(folder)])
