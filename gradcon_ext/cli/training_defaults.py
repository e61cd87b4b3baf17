"""How `gradcon train` trains where no option says otherwise, and what its help says of that."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from gradcon_ext.detector.parts import OF_BALANCE
from gradcon_ext.scoring import balancing

_STEPS = 1500
_FEWEST_A_BATCH = 16
_MOST_TIMES = 4


class Settings(NamedTuple):
    """How training is by default."""

    alpha: float
    epochs: int
    lead_in: int = 0
    batch_size: int = 64

    def for_images(self, images: int) -> Settings:
        """Return the same with steps enough, where a few images would make too few.

        Batches are halved, down to 16 images, while there are fewer than 1500 steps; then there are up to four times as
        many epochs.
        """
        batch_size = self.batch_size
        while batch_size > _FEWEST_A_BATCH and self._steps(images, batch_size) < _STEPS:
            batch_size //= 2
        times = min(max(_STEPS / self._steps(images, batch_size), 1), _MOST_TIMES)
        return self._replace(
            epochs=ceil(times * self.epochs), lead_in=ceil(times * self.lead_in), batch_size=batch_size
        )

    def _steps(self, images: int, batch_size: int) -> int:
        return (self.lead_in + self.epochs) * ceil(images / batch_size)


_PAPERS = Settings(alpha=0.03, epochs=30)
_BALANCED = Settings(balancing.ALPHA, balancing.EPOCHS, balancing.LEAD_IN)
_TILES = Settings(alpha=0.003, epochs=6)
"""A tile is much like others, so that fewer passes do (`benchmarks/magnetic_tile.py`)."""

_OF_FEW = f"up to {_MOST_TIMES} times as many where a few images make fewer than {_STEPS} steps"

EPOCHS = (
    f"{_BALANCED.epochs}, with --score gradcon or a part of it {_PAPERS.epochs}, of tiles {_TILES.epochs}; {_OF_FEW}"
)
"""The epochs of `default_settings`, in words."""

ALPHA = f"{_PAPERS.alpha}; of tiles, unless --score gradcon is given, {_TILES.alpha}"
"""The weight of the constraint likewise."""

LEAD_IN = f"{_BALANCED.lead_in}, {_OF_FEW}; none of tiles and with --score gradcon or a part of it"
"""The lead-in likewise."""

BATCH_SIZE = f"{_BALANCED.batch_size}; down to {_FEWEST_A_BATCH} where that makes fewer than {_STEPS} steps"
"""The images of a step likewise."""


def default_settings(score: str, of_tiles: bool, images: int) -> Settings:
    """Return how to train for a score that is asked for, on so many tiles or whole images."""
    if of_tiles:
        settings = _TILES._replace(alpha=_PAPERS.alpha) if score == "gradcon" else _TILES
    else:
        settings = _BALANCED if score in ("auto", *OF_BALANCE) else _PAPERS
    return settings.for_images(images)
