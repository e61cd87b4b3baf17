"""How `gradcon train` trains where no option says otherwise, and what its help says of that."""

from __future__ import annotations

from typing import NamedTuple

from gradcon_ext.scoring import balancing


class _Settings(NamedTuple):
    """How training is by default."""

    alpha: float
    epochs: int
    lead_in: int = 0


_PAPERS = _Settings(alpha=0.03, epochs=30)
_BALANCED = _Settings(balancing.ALPHA, balancing.EPOCHS, balancing.LEAD_IN)
_TILES = _Settings(alpha=0.003, epochs=6)
"""A tile is much like others, so that fewer passes do (`benchmarks/magnetic_tile.py`)."""

EPOCHS = f"{_PAPERS.epochs}, with --score balanced {_BALANCED.epochs}, of tiles {_TILES.epochs}"
"""The epochs of `default_settings`, in words."""

ALPHA = f"{_PAPERS.alpha}; of tiles, unless --score gradcon is given, {_TILES.alpha}"
"""The weight of the constraint likewise."""

LEAD_IN = f"none, with --score balanced {_BALANCED.lead_in}, but for tiles"
"""The lead-in likewise."""


def default_settings(score: str, of_tiles: bool) -> _Settings:
    """Return how to train for a score that is asked for, on tiles or on whole images."""
    if of_tiles:
        return _TILES._replace(alpha=_PAPERS.alpha) if score == "gradcon" else _TILES
    return _BALANCED if score == "balanced" else _PAPERS
