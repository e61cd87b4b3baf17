"""The figure of docs/examples/selection.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

if TYPE_CHECKING:
    from benchmarks.examples.selection import Accuracies

# Okabe and Ito's palette, with a marker and a dash each.
STYLES = (
    ("#8C8C8C", "o", "-"),
    ("#CC79A7", "v", "-"),
    ("#E69F00", "^", "-"),
    ("#0072B2", "s", "-"),
    ("#E69F00", "^", "--"),
    ("#0072B2", "s", "--"),
    ("#000000", "D", ":"),
)


def draw(measured: Mapping[str, Accuracies], path: Path) -> None:
    """Draw test accuracy against the share that is trained on, a panel a pool, with the range over the seeds."""
    figure, panels = pyplot.subplots(1, len(measured), figsize=(9, 4.4), layout="constrained")
    for axes, (title, of_pool) in zip(panels, measured.items(), strict=True):
        _draw_pool(axes, of_pool)
        axes.set(title=title, xlabel="share of the pool that is trained on")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_pool(axes: Axes, measured: Accuracies) -> None:
    curves: dict[str, dict[float, list[float]]] = {}
    for (rule, share), values in measured.items():
        curves.setdefault(rule, {})[share] = values
    styles = iter(STYLES)
    dashes = iter(("-.", (0, (1, 4))))
    for rule, points in curves.items():
        means = [mean(values) for values in points.values()]
        if len(points) == 1:
            axes.axhline(means[0], color="#8C8C8C", linestyle=next(dashes), label=rule)
        else:
            colour, marker, dash = next(styles)
            axes.plot(list(points), means, color=colour, marker=marker, linestyle=dash, markersize=4, label=rule)
            lowest, highest = zip(*((min(values), max(values)) for values in points.values()), strict=True)
            axes.fill_between(list(points), lowest, highest, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(list(next(iter(curves.values()))))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
