"""The parts of a score, any of which may decide what is an outlier, by their names. Imports neither torch nor numpy."""

from __future__ import annotations

from typing import Any

PAPERS = "combined"
"""The part that the paper scores by."""

OF_BALANCE = ("direction", "code", "balanced")
"""Those that only a detector with a balance has."""

PARTS = ("reconstruction", "latent", "gradient", PAPERS, *OF_BALANCE)

OF_TILES = "tiles."
"""What the names of the columns of single tiles begin with, where a program gives those beside the image's."""


def column_of(part: str) -> str:
    """The name of a part as a column of scores."""
    return "anomaly" if part == PAPERS else part


def part_of(scores: Any, part: str) -> Any:
    """Return one part (N,) of the scores of N images, with torch or without; of each, higher is more anomalous.

    Raises:
        ValueError: there is no such part, or the detector has no balance to make it with.
    """
    if part not in PARTS:
        raise ValueError(f"there is no part {part!r} of a score; expected one of {', '.join(PARTS)}")
    values = getattr(scores, column_of(part))
    if values is None:
        raise ValueError(f"the part {part!r} needs a detector with a balance; see gradcon_ext.balanced")
    return values


def losses_of(scores: Any) -> dict[str, Any]:
    """The parts (N,) of scores by their names, but for those that there are not; of each, higher is more anomalous.

    They are the losses of section 6 of the paper, "reconstruction", "latent" (where the model has a latent loss),
    "gradient" (minus the mean cosine of the constrained layers) and "combined" (the paper's score); and of a scorer
    with a balance "direction", "code" and "balanced".
    """
    absent = {part for part in OF_BALANCE if getattr(scores, part) is None}
    if not scores.latent.any():
        absent.add("latent")
    return {part: part_of(scores, part) for part in PARTS if part not in absent}
