"""How far a command is: a bar on a terminal, now and then a line elsewhere, all on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic

from tqdm import tqdm

from gradcon_ext.training.history import Log

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


@contextmanager
def epoch_lines(epochs: int) -> Iterator[Log]:
    """Give a log that now and then prints the epoch that has just finished; the last one is printed at the end.

    Args:
        epochs: how many there are to be.
    """
    lines = _EpochLines(epochs)
    yield lines.log
    lines.tell()


def say(what: str, quiet: bool = False) -> None:
    """Print a line of what is about to be done, unless it is to be quiet."""
    if not quiet:
        print(what, file=sys.stderr, flush=True)


class _EpochLines:
    def __init__(self, epochs: int) -> None:
        self._epochs, self._line = epochs, ""
        self._told = monotonic()

    def log(self, metrics: Mapping[str, float], epoch: int) -> None:
        loss, objective = (f"{metrics[name]:.4f}" for name in ("loss", "validation_objective"))
        self._line = f"epoch {epoch} of {self._epochs}: loss {loss}, validation objective {objective}"
        if monotonic() - self._told >= _BETWEEN_LINES:
            self.tell()

    def tell(self) -> None:
        say(self._line, quiet=not self._line)
        self._line, self._told = "", monotonic()


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
        say(line)
