"""The training runs of the paper's section 6: which model on which images, and where a run is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.reproduce.splits import image_shape, training_facts, training_images
from gradcon_ext.reproduce.variants import published_epochs
from gradcon_ext.scoring.balancing import ALPHA, EPOCHS, LEAD_IN
from gradcon_ext.training.many import Run

SNAPSHOTS = 10
"""How many epochs of a run are kept at most, besides those that the published code would keep."""


def evenly(epochs: int) -> Sequence[int]:
    """About `SNAPSHOTS` epochs, evenly over all of them."""
    every = ceil(epochs / SNAPSHOTS)
    return range(every, epochs + 1, every)


def logarithmically(epochs: int) -> Sequence[int]:
    """About `SNAPSHOTS` epochs from the tenth to the last, evenly on a logarithmic axis; of ten and fewer, from 1."""
    first = 10 if epochs > 10 else 1
    return sorted({round(epoch) for epoch in np.geomspace(first, epochs, SNAPSHOTS)})


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained.

    Attributes:
        model: makes it for images of a number of channels and of a size.
        trainer: arguments of `Trainer` that differ from its defaults, which are the paper's.
        balanced: whether its detectors have the balanced score too (see `gradcon_ext.balanced`).
        most_epochs: the length that it is made for; others are as long as is asked.
        snapshots: of how many epochs, which of them are measured too; the last one always is.
    """

    model: type[nn.Module]
    trainer: Mapping[str, Any] = field(default_factory=dict)
    balanced: bool = False
    most_epochs: int | None = None
    snapshots: Callable[[int], Sequence[int]] = evenly


_STRONG_ALPHA = 0.3

STRONG = f"alpha {_STRONG_ALPHA} in training"
"""What tells "cae-grad-strong" from the paper's recipe, whose alpha is a tenth of that."""

RECIPES = {
    "cae": Recipe(ConvAutoencoder, {"alpha": 0.0}),
    "cae-long": Recipe(ConvAutoencoder, {"alpha": 0.0}, snapshots=logarithmically),
    "cae-grad": Recipe(ConvAutoencoder),
    "cae-grad-long": Recipe(ConvAutoencoder, snapshots=logarithmically),
    "cae-grad-primal": Recipe(ConvAutoencoder, {"average": "primal"}),
    "cae-lead-in-balanced": Recipe(
        ConvAutoencoder, {"alpha": ALPHA, "lead_in": LEAD_IN}, balanced=True, most_epochs=EPOCHS
    ),
    "cae-grad-strong": Recipe(ConvAutoencoder, {"alpha": _STRONG_ALPHA}),
    "vae": Recipe(ConvVariationalAutoencoder, {"alpha": 0.0}),
    "vae-grad": Recipe(ConvVariationalAutoencoder),
}


@dataclass(frozen=True)
class Experiment:
    """One training run.

    Attributes:
        dataset: one of those of `gradcon_ext.reproduce.splits`.
        model: one of `RECIPES`, or a baseline.
        inlier: name of the inlier class.
        seed: of the split, the first weights and the order of the images; under the five-fold protocol, the fold.
    """

    dataset: str
    model: str
    inlier: str
    seed: int

    @property
    def name(self) -> str:
        """What tells it from the others; also its folder below that of all runs."""
        return "/".join((self.dataset, self.model, slug(self.inlier), f"seed-{self.seed}"))

    def epochs(self, wanted: int) -> int:
        """How many passes over the training images it has where so many are asked for."""
        most = RECIPES[self.model].most_epochs
        return wanted if most is None else min(wanted, most)

    def new_model(self) -> nn.Module:
        """Draw the first weights, the same ones each time."""
        channels, size = image_shape(self.dataset)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return RECIPES[self.model].model(channels, size)

    def run(self, epochs: int, runs: Path, data_root: Path | None) -> Run:
        """Describe the training to `train_many`.

        Args:
            epochs: passes over the training images.
            runs: folder of all runs.
            data_root: folder of the data sets.
        """
        recipe = RECIPES[self.model]
        trainer = {
            **recipe.trainer,
            "epochs": epochs,
            "seed": self.seed,
            "data": training_facts(self.dataset, self.inlier, self.seed),
            "snapshot_every": None if recipe.balanced else recipe.snapshots(epochs),
            "snapshot_best": () if recipe.balanced else published_epochs(epochs),
        }
        images = TrainingImages(self.dataset, self.inlier, self.seed, data_root)
        return Run(self.name, self.new_model(), images, runs / self.name, trainer)


@dataclass(frozen=True)
class TrainingImages:
    """Loads the images of a run in the process that trains it."""

    dataset: str
    inlier: str
    seed: int
    data_root: Path | None

    def __call__(self) -> tuple[Any, Any]:
        """Return the images to learn from, and those that are held out."""
        return training_images(self.dataset, self.inlier, self.seed, self.data_root)


def slug(text: str) -> str:
    """Make a file name of a class name: lower case, with hyphens for anything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
