"""How far a command is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from tqdm import tqdm

_BETWEEN_LINES = 15.0
"""Seconds."""


@contextmanager
def progress(total: int, what: str, quiet: bool = False) -> Iterator[Callable[[int], object]]:
    """Show images a second and the time that is left, on standard error.

    Args:
        total: number of images.
        what: is being done to them.
        quiet: whether to show nothing.

    Yields:
        A function that is told how many images are done since it was last called.
    """
    if quiet:
        yield lambda count: None
    elif sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit=" images", unit_scale=True) as bar:
            yield bar.update
    else:
        yield _Lines(total, what).update


class _Lines:
    def __init__(self, total: int, what: str) -> None:
        self._total, self._what, self._done = total, what, 0
        self._begun = self._told = monotonic()

    def update(self, count: int) -> None:
        self._done += count
        now = monotonic()
        if now - self._told < _BETWEEN_LINES or self._done >= self._total:
            return
        self._told = now
        speed = self._done / (now - self._begun)
        left = (self._total - self._done) / speed
        line = f"{self._what}: {self._done} of {self._total} images, {speed:.3g} a second, {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)
