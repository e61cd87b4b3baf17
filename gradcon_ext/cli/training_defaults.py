"""How `gradcon train` trains where no option says otherwise, and what its help says of that."""

from __future__ import annotations

from typing import NamedTuple

from gradcon_ext.scoring import balancing


class _Settings(NamedTuple):
    """How training is by default."""

    alpha: float
    epochs: int


_PAPERS = _Settings(alpha=0.03, epochs=30)
_BALANCED = _Settings(balancing.ALPHA, balancing.EPOCHS)
_TILE_EPOCHS = 6
"""A tile is much like others, so that fewer passes do (`benchmarks/magnetic_tile.py`)."""

EPOCHS = f"{_PAPERS.epochs}, with --score balanced {_BALANCED.epochs}, of tiles {_TILE_EPOCHS}"
"""The epochs of `default_settings`, in words."""

ALPHA = f"{_PAPERS.alpha}; with --score balanced, and of tiles unless --score gradcon is given, {_BALANCED.alpha}"
"""The weight of the constraint likewise."""


def default_settings(score: str, of_tiles: bool) -> _Settings:
    """Return how to train for a score that is asked for, on tiles or on whole images."""
    if of_tiles:
        return _Settings(_PAPERS.alpha if score == "gradcon" else _BALANCED.alpha, _TILE_EPOCHS)
    return _BALANCED if score == "balanced" else _PAPERS
