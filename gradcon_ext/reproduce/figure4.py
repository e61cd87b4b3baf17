"""Figure 4: how well challenging conditions of traffic signs are noticed, by their level."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np

from gradcon_ext.challenges import LEVELS, challenge
from gradcon_ext.data import read_cure_tsr
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.detector.place import DETECTOR
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure import LINE_STYLES, Figure
from gradcon_ext.reproduce.measuring import area
from gradcon_ext.reproduce.published import published
from gradcon_ext.reproduce.splits import ALL_SIGNS, CURE_TSR, cure_tsr_path, image_shape
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores

CURVES = {
    "reconstruction (CAE)": ("cae", "reconstruction"),
    "reconstruction (CAE + Grad)": ("cae-grad", "reconstruction"),
    "gradient (CAE + Grad)": ("cae-grad", "gradient"),
}
"""Model and loss of each curve."""

_CONDITIONS = {
    "Decolorization": "decolorization",
    "LensBlur": "lens-blur",
    "DirtyLens": "dirty-lens",
    "Exposure": "exposure",
    "GaussianBlur": "gaussian-blur",
    "Rain": "rain",
    "Snow": "snow",
    "Haze": "haze",
}
"""Names of `gradcon_ext.challenges` for those of the data set."""


def figure4(seeds: int, runs: Path, data_root: Path | None) -> Figure:
    """Draw the AUROC of three losses against the level of eight challenges, mean over the seeds' finished runs.

    For the stand-in of CURE-TSR, which has no images under the challenges, they are made from its test images.
    """
    from matplotlib.figure import Figure as Drawing

    path, is_stand_in = cure_tsr_path(data_root)
    free = read_cure_tsr(path, "test", size=image_shape(CURE_TSR)[1]).images
    models = sorted({model for model, _ in CURVES.values()})
    scorers = {
        (model, seed): Scorer.load(runs / Experiment(CURE_TSR, model, ALL_SIGNS, seed).name / DETECTOR)
        for model in models
        for seed in range(seeds)
    }
    of_free = {key: scorer.score(free) for key, scorer in scorers.items()}
    drawing = Drawing(figsize=(12, 6), layout="constrained")
    panels = drawing.subplots(2, 4, sharex=True, sharey=True)
    rows: list[list[object]] = []
    gains = {}
    for axes, name in zip(panels.flat, published()["figure4"]["challenges"], strict=True):
        areas: dict[str, list[float]] = {curve: [] for curve in CURVES}
        for level in LEVELS:
            images = _challenged(free, name, level, path, is_stand_in)
            scores = {key: scorer.score(images) for key, scorer in scorers.items()}
            for curve, (model, loss) in CURVES.items():
                of_seeds = [_area(of_free[model, seed], scores[model, seed], loss) for seed in range(seeds)]
                areas[curve].append(fmean(of_seeds))
                rows.append([name, level, curve, areas[curve][-1], seeds])
        for (colour, dashes, marker), (curve, values) in zip(LINE_STYLES, areas.items(), strict=False):
            axes.plot(LEVELS, values, color=colour, ls=dashes, marker=marker, label=curve)
        gains[name] = fmean(areas["gradient (CAE + Grad)"]) - fmean(areas["reconstruction (CAE)"])
        axes.set_title(f"{name} ({gains[name]:+.2f})")
        axes.axhline(0.5, color="0.7", lw=0.8, zorder=0)
    for axes in panels[-1]:
        axes.set_xlabel("challenge level")
        axes.set_xticks(LEVELS)
    for axes in panels[:, 0]:
        axes.set_ylabel("AUROC")
    panels[0, 0].set_ylim(0, 1.02)
    drawing.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return Figure(drawing, ["challenge", "level", "loss", "auroc", "seeds"], rows, _caption(gains, seeds, is_stand_in))


def _challenged(free: ImageArray, name: str, level: int, path: Path, is_stand_in: bool) -> ImageArray:
    if is_stand_in:
        return challenge(free, _CONDITIONS[name], level)
    return read_cure_tsr(path, "test", name, level, size=free.shape[2:]).images


def _area(free: Scores, challenged: Scores, loss: str) -> float:
    values = np.concatenate([getattr(scores, loss).numpy() for scores in (free, challenged)])
    return area(values, np.arange(len(values)) >= len(free.anomaly))


def _caption(gains: dict[str, float], seeds: int, is_stand_in: bool) -> str:
    images = (
        "traffic signs of GTSRB in the place of CURE-TSR, with challenges synthesised by `gradcon_ext.challenges`: "
        "not the paper's images, so levels cannot be compared one by one"
        if is_stand_in
        else "CURE-TSR"
    )
    paper = published()["figure4"]

    def named(gain: dict[str, float]) -> str:
        ((name, value),) = gain.items()
        return f"{name} ({value:+.3f})"

    most, least = max(gains, key=lambda name: gains[name]), min(gains, key=lambda name: gains[name])
    return (
        f"Figure 4 on {images}. AUROC of challenge-free against challenged test images, seeds: {seeds}. In "
        "brackets: gradient loss of CAE + Grad less reconstruction error of CAE, mean over the levels: "
        f"{fmean(gains.values()):+.3f} on average, most for {most} ({gains[most]:+.3f}), least for {least} "
        f"({gains[least]:+.3f}). The paper has {paper['average_gain']:+.3f} on average, most for "
        f"{named(paper['largest_gain'])}, least for {named(paper['smallest_gain'])}."
    )
