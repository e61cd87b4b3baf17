"""Figure 5: how the losses of inliers and outliers are distributed, over all classes of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gradcon_ext.detector.parts import losses_of
from gradcon_ext.detector.place import DETECTOR
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure import Figure
from gradcon_ext.reproduce.splits import one_class, shrunk
from gradcon_ext.scoring.histogram import LOSS_LABELS, common_edges, draw_two
from gradcon_ext.scoring.scorer import Scorer

DATASETS = ("mnist", "cifar10")
MODEL_OF_LOSS = {"reconstruction": "cae-grad", "latent": "vae", "gradient": "cae-grad"}


def figure5(classes: Mapping[str, Sequence[str]], runs: Path, data_root: Path | None) -> Figure:
    """Draw the losses of finished runs.

    Args:
        classes: the inlier classes that are put together, by data set.
        runs: folder of all runs.
        data_root: folder of the data sets.
    """
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(11, 3.4 * len(DATASETS)), layout="constrained")
    panels = drawing.subplots(len(DATASETS), len(MODEL_OF_LOSS), squeeze=False)
    rows: list[list[object]] = []
    sentences = []
    for panel_row, dataset in zip(panels, DATASETS, strict=True):
        overlaps = {}
        for axes, (loss, model) in zip(panel_row, MODEL_OF_LOSS.items(), strict=True):
            pooled: dict[str, list[npt.NDArray[np.float32]]] = {"inliers": [], "outliers": []}
            for inlier in classes[dataset]:
                values, is_outlier = losses_of_test(Experiment(dataset, model, inlier, 0), loss, runs, data_root)
                pooled["inliers"].append(values[~is_outlier])
                pooled["outliers"].append(values[is_outlier])
            joined = {kind: np.concatenate(parts) for kind, parts in pooled.items()}
            overlaps[loss] = draw_two(axes, joined)
            axes.set_title(f"{dataset}: {overlaps[loss]} of {len(joined['inliers'])} overlap")
            axes.set_xlabel(LOSS_LABELS[loss])
            edges = common_edges(joined)
            for kind, values in joined.items():
                counts, _ = np.histogram(values, edges)
                rows += [[dataset, loss, kind, *of_bin] for of_bin in zip(edges[:-1], edges[1:], counts, strict=True)]
        panel_row[0].set_ylabel("images")
        least = min(overlaps, key=lambda loss: overlaps[loss])
        sentences.append(f"On {dataset} the {least} loss has the smallest overlap.")
    panels[0, 0].legend(frameon=False)
    caption = (
        "Figure 5. Losses of inliers and outliers of the test images, put together over "
        f"{', '.join(f'{len(names)} classes of {dataset}' for dataset, names in classes.items())}. Reconstruction and "
        f"gradient loss are those of CAE + Grad, latent loss is that of VAE. {' '.join(sentences)}"
    )
    return Figure(drawing, ["dataset", "loss", "kind", "from", "to", "images"], rows, caption)


def losses_of_test(
    experiment: Experiment, loss: str, runs: Path, data_root: Path | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """One loss of the test images of a finished run, (M,), and which of them are outliers, (M,)."""
    split = one_class(experiment.dataset, experiment.inlier, experiment.seed, data_root)
    scores = Scorer.load(runs / experiment.name / DETECTOR).score(shrunk(experiment.dataset, split.test))
    return losses_of(scores)[loss].numpy(), split.test_is_outlier
