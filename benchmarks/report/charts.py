"""The two charts, in colours that the colour-blind can tell apart (Okabe and Ito, 2008)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from benchmarks import scorers
from benchmarks.report import measure
from benchmarks.report.scaling import PANELS, Cost, Panel
from benchmarks.timing import Measurement, best

BLUE, ORANGE, GREY, GREEN = "#0072B2", "#E69F00", "#8C8C8C", "#009E73"
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
}
# From top to bottom: the name that was measured, the name on the chart, its colour.
_BARS = (
    (measure.LOOP, "published loop,\none image at a time", GREY),
    (measure.HOOKS, "hooks + unfold + bmm", GREY),
    (measure.VMAP, "torch.func.vmap(grad)", GREY),
    (measure.FORWARD_BACKWARD, "torch, forward + backward\n(gradient of the batch only)", ORANGE),
    (measure.FORWARD, "torch, forward alone", ORANGE),
    (scorers.ANY_MODEL, "gradcon_ext, any model", BLUE),
    (scorers.FUSED, "gradcon_ext, fused", BLUE),
)


def draw_scores(measured: Sequence[Measurement], subtitle: str, path: Path) -> None:
    """One bar a contender, at its best batch, on a logarithmic axis."""
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(8.4, 4.4), layout="constrained")
        fused = best(measured, scorers.FUSED).microseconds
        for position, (name, label, colour) in enumerate(reversed(_BARS)):
            one = best(measured, name)
            axes.barh(position, one.microseconds, color=colour, height=0.7)
            text = f" {one.microseconds:,.0f} µs"
            text += "" if name == scorers.FUSED else f"  ({_times(one.microseconds / fused)})"
            axes.text(one.microseconds, position, text, va="center", weight="bold" if name == scorers.FUSED else None)
            axes.text(-0.015, position, label, va="center", ha="right", transform=axes.get_yaxis_transform())
        least = min(best(measured, name).microseconds for name, _, _ in _BARS)
        most = max(best(measured, name).microseconds for name, _, _ in _BARS)
        axes.set_xscale("log")
        axes.set_xlim(least / 2.5, most * 9)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("microseconds an image, logarithmic")
        figure.suptitle(f"From image to anomaly score, 3x28x28 pixels\n{subtitle}", fontsize=11)
        figure.savefig(path)
        pyplot.close(figure)


def draw_scaling(costs: Mapping[str, Sequence[Cost]], subtitle: str, path: Path) -> None:
    """One panel a question, one line a contender."""
    with pyplot.rc_context(STYLE):
        figure, panels = pyplot.subplots(1, len(PANELS), figsize=(10.5, 4.2), layout="constrained")
        for axes, panel in zip(panels, PANELS, strict=True):
            _draw_panel(axes, panel, costs[panel.title])
        panels[0].set_ylabel("microseconds an image")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=11.5)
        figure.suptitle(f"Cost of an image: a complete score, and torch's forward pass\n{subtitle}", fontsize=11)
        figure.savefig(path)
        pyplot.close(figure)


def _draw_panel(axes: Axes, panel: Panel, points: Sequence[Cost]) -> None:
    lines = (
        ("score by vmap(grad)", GREY, "s", [(point.x, point.vmap) for point in points]),
        ("torch's forward pass alone", ORANGE, "^", [(point.x, point.forward) for point in points]),
        ("score by gradcon_ext, fused", BLUE, "o", [(point.x, point.fused) for point in points]),
    )
    for label, colour, marker, all_points in lines:
        line = [(x, one.microseconds) for x, one in all_points if one is not None]
        axes.plot(*zip(*line, strict=True), color=colour, marker=marker, label=label, linewidth=2, markersize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(panel.title, weight="bold")
    axes.set_xlabel(panel.unit)
    axes.xaxis.set_major_locator(FixedLocator([point.x for point in points]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="x", labelsize=10)
    axes.grid(axis="y", which="major", alpha=0.3)
    missing = [str(point.x) for point in points if point.vmap is None]
    if missing:
        text = f"vmap(grad) left out\nat {', '.join(missing)}: memory"
        axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=9, color="#555555")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"
