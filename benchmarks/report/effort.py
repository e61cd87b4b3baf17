"""How much is measured: a full run, or a quick one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Upper bounds of rounds and seconds.

    Attributes:
        rounds: of the contenders of the complete score.
        short_rounds: of contenders that take milliseconds.
        seconds: for one group of contenders, after its first few rounds.
        streamed: after how many images peak memory is read, twice.
        processes: how many fresh processes score an image.
    """

    rounds: int
    short_rounds: int
    seconds: float
    streamed: tuple[int, int]
    processes: int


FULL = Effort(rounds=21, short_rounds=500, seconds=90, streamed=(100_000, 1_000_000), processes=15)
QUICK = Effort(rounds=3, short_rounds=20, seconds=2, streamed=(10_000, 50_000), processes=3)
