"""The figure of docs/examples/influence.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from torch import Tensor

from benchmarks.examples.labelled_images import Images
from benchmarks.examples.tracin import Influence, share_found

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
COUNT = 3
NEIGHBOURS: dict[str, Callable[[Influence], Tensor]] = {
    "proponents": lambda influence: influence.on_tests,
    "proponents by cosine": lambda influence: influence.cosine,
    "opponents": lambda influence: -influence.on_tests,
}
"""What is drawn beside a test image: the training images with the most of these."""


def draw(
    influence: Influence,
    train: Images,
    labels: Tensor,
    is_wrong: Tensor,
    tests: Images,
    shown: Sequence[int],
    path: Path,
) -> None:
    """Draw how many wrong labels are found, and what pulls some of the tests towards their label and away from it.

    Args:
        influence: of the training images on the tests.
        train: with the true labels.
        labels: that were trained with.
        is_wrong: which of those are.
        tests: images and their labels.
        shown: which of the tests are drawn.
        path: of the PNG.
    """
    figure = pyplot.figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.9))
    _draw_curves(left.subplots(), influence, is_wrong)
    _draw_grid(right, influence, train, labels, tests, shown)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_curves(axes: Axes, influence: Influence, is_wrong: Tensor) -> None:
    looked_at = np.arange(1, len(is_wrong) + 1) / len(is_wrong)
    best = np.minimum(looked_at / is_wrong.float().mean().item(), 1)
    axes.plot(looked_at, best, color=GREY, linestyle=":", label="possible")
    axes.plot(looked_at, share_found(influence.loss, is_wrong), color=ORANGE, linestyle="--", label="loss")
    axes.plot(looked_at, share_found(influence.on_itself, is_wrong), color=BLUE, label="self-influence")
    axes.plot(looked_at, looked_at, color=GREY, label="at random")
    axes.set(xlim=(0, 0.4), ylim=(0, 1.02), xlabel="share of images looked at", ylabel="share of wrong labels found")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _draw_grid(
    figure: SubFigure, influence: Influence, train: Images, labels: Tensor, tests: Images, shown: Sequence[int]
) -> None:
    """A column of test images, and beside it one of neighbours for each way to choose them."""
    parts = figure.subfigures(1, 1 + len(NEIGHBOURS), width_ratios=(1.3, *[COUNT] * len(NEIGHBOURS)))
    for axes, test in zip(parts[0].subplots(len(shown)), shown, strict=True):
        _draw_image(axes, tests.images[test], f"{tests.labels[test]}", "black")
    parts[0].suptitle("test", fontsize=10)
    for part, (title, chosen_by) in zip(parts[1:], NEIGHBOURS.items(), strict=True):
        part.suptitle(title, fontsize=10)
        for row, test in zip(part.subplots(len(shown), COUNT), shown, strict=True):
            for axes, neighbour in zip(row, chosen_by(influence)[:, test].topk(COUNT).indices, strict=True):
                given, true = int(labels[neighbour]), int(train.labels[neighbour])
                text, colour = (f"{given}", "black") if given == true else (f"{given} (is {true})", ORANGE)
                _draw_image(axes, train.images[neighbour], text, colour)


def _draw_image(axes: Axes, image: Tensor, title: str, colour: str) -> None:
    axes.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9, color=colour, pad=2)
    axes.set(xticks=[], yticks=[])
