"""How AUROC goes on with the length of training, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure import LINE_STYLES, Figure
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.splits import ONE_CLASS_FASHION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

DATASETS = ("cifar10", "mnist", ONE_CLASS_FASHION)
MODELS = {"CAE + Grad": "cae-grad-long", "CAE": "cae-long"}

_DASHES = dict(zip(MODELS, ("-", ":"), strict=True))
_LOSSES = ("reconstruction", "gradient", "combined")
_COLUMNS = 5


class Curve(NamedTuple):
    """The record of one training run of one class.

    Attributes:
        model: one of `MODELS`.
        seed: of the run.
        record: whose `by_epoch` is drawn.
    """

    model: str
    seed: int
    record: Record


def length_figure(records: Records, chosen: Mapping[str, Sequence[str]], seeds: int) -> Figure:
    """Draw AUROC of each loss against the epoch, a panel a class, of all runs that are on record.

    Args:
        records: of experiments with the models of `MODELS`.
        chosen: inlier classes by data set; those without a record have no panel.
        seeds: how many.

    Raises:
        ValueError: there is no record of any of them.
    """
    panels = {
        (dataset, name): curves
        for dataset, names in chosen.items()
        for name in names
        if (curves := _curves(records, dataset, name, seeds))
    }
    if not panels:
        raise ValueError(f"there is no record of {' or '.join(MODELS.values())} on {' or '.join(chosen)}")
    drawing, axes_of = _new_drawing(list(panels))
    for (dataset, name), curves in panels.items():
        _draw(axes_of[dataset, name], curves)
        axes_of[dataset, name].set_title(f"{dataset}: {name}", fontsize="medium")
    _draw_legend(drawing, list(axes_of.values()))
    rows = [row for (dataset, name), curves in panels.items() for row in _rows(dataset, name, curves)]
    header = ["dataset", "class", "model", "loss", "seed", "epoch", "auroc"]
    return Figure(drawing, header, rows, _caption(panels))


def _curves(records: Records, dataset: str, name: str, seeds: int) -> list[Curve]:
    found = (
        Curve(model, seed, record)
        for model, recipe in MODELS.items()
        for seed in range(seeds)
        if (record := records.get(Experiment(dataset, recipe, name, seed).name)) is not None
    )
    return list(found)


def _new_drawing(panels: Sequence[tuple[str, str]]) -> tuple[Drawing, dict[tuple[str, str], Axes]]:
    """Lay panels out in rows, a new one for each data set; those of a data set have the same scales."""
    from matplotlib.figure import Figure as Drawing

    by_dataset: dict[str, list[tuple[str, str]]] = {}
    for panel in panels:
        by_dataset.setdefault(panel[0], []).append(panel)
    columns = min(_COLUMNS, max(map(len, by_dataset.values())))
    rows = [
        of_dataset[columns * row : columns * (row + 1)]
        for of_dataset in by_dataset.values()
        for row in range(ceil(len(of_dataset) / columns))
    ]
    drawing = Drawing(figsize=(max(8.0, 3.0 * columns), 1 + 2.8 * len(rows)), layout="constrained")
    grid = drawing.add_gridspec(len(rows), columns)
    axes_of: dict[tuple[str, str], Axes] = {}
    for number, row in enumerate(rows):
        for column, panel in enumerate(row):
            first = axes_of.get(by_dataset[panel[0]][0])
            place = grid[number, column]
            axes_of[panel] = drawing.add_subplot(place, xscale="log", xlabel="epoch", sharex=first, sharey=first)
        axes_of[row[0]].set_ylabel("AUROC")
    return drawing, axes_of


def _draw(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for model, _, record in curves:
        for (colour, _, marker), loss in zip(LINE_STYLES, _LOSSES, strict=False):
            epochs = sorted(record.by_epoch)
            values = [record.by_epoch[epoch][loss] for epoch in epochs]
            axes.plot(epochs, values, color=colour, ls=_DASHES[model], marker=marker, ms=3, label=_label(model, loss))
    axes.axhline(0.5, color="0.7", lw=0.8, zorder=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_legend(drawing: Drawing, panels: Sequence[Axes]) -> None:
    """Name every curve once, with a column for each loss."""
    lines = {str(line.get_label()): line for axes in panels for line in axes.get_lines()}
    labels = [label for loss in _LOSSES for model in MODELS if (label := _label(model, loss)) in lines]
    handles = [lines[label] for label in labels]
    drawing.legend(handles, labels, loc="outside upper center", ncols=len(_LOSSES), frameon=False)


def _label(model: str, loss: str) -> str:
    return f"{model}, {loss}"


def _rows(dataset: str, name: str, curves: Sequence[Curve]) -> Iterator[list[object]]:
    for model, seed, record in curves:
        for loss in _LOSSES:
            for epoch in sorted(record.by_epoch):
                yield [dataset, name, model, loss, seed, epoch, record.by_epoch[epoch][loss]]


def _caption(panels: Mapping[tuple[str, str], Sequence[Curve]]) -> str:
    sentences = []
    for dataset in dict.fromkeys(dataset for dataset, _ in panels):
        classes = [curves for (of, _), curves in panels.items() if of == dataset]
        sentences += [
            f"On {dataset} ({len(classes)} {'class' if len(classes) == 1 else 'classes'}): {_means(classes)}."
        ]
    return (
        "AUROC of each loss of CAE + Grad (alpha 0.03) and of CAE against the epoch, without any choice of epochs; "
        f"axis of epochs logarithmic. {' '.join(sentences)}"
    )


def _means(classes: Sequence[Sequence[Curve]]) -> str:
    """Gradient loss of each model, mean over its runs, at the first and the last epoch that all of them have."""
    parts = []
    for model in MODELS:
        runs = [curve.record.by_epoch for curves in classes for curve in curves if curve.model == model]
        common = sorted(set.intersection(*map(set, runs))) if runs else []
        means = [
            f"{fmean(run[epoch]['gradient'] for run in runs):.3f} after {epoch}" for epoch in common[:1] + common[-1:]
        ]
        parts += [f"gradient loss of {model} {' and '.join(dict.fromkeys(means))} epochs"] if means else []
    return "; ".join(parts) or "no epoch that all runs have"
