"""Timing of contenders in turn: every round runs each of them once, so that all see the same machine."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

LEAST_ROUNDS = 3


class Timed:
    """A function that keeps how long each of its calls took; on a GPU, until what the call started has ended."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self.seconds: list[float] = []

    def __call__(self) -> None:
        begin = time.perf_counter()
        self._function()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - begin)

    def settle(self) -> None:
        """Run it untimed, so that caches and freed memory are as it leaves them, not as another contender did."""
        self._function()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Contender:
    """A way to do something with `samples` samples, `batch` of them at a time.

    `layout` says how they and the weights lie in memory where that is not torch's usual way.
    """

    name: str
    batch: int
    samples: int
    run: Callable[[], object]
    layout: str = ""


@dataclass(frozen=True)
class Measurement:
    """Median time of a contender over the rounds, and that of its fastest round."""

    name: str
    batch: int
    samples: int
    rounds: int
    seconds: float
    fastest: float
    layout: str = ""

    @property
    def setting(self) -> str:
        """What it was measured with."""
        return f"batch {self.batch}" + (f", {self.layout}" if self.layout else "")

    @property
    def microseconds(self) -> float:
        """For one sample."""
        return self.seconds / self.samples * 1e6

    def __str__(self) -> str:
        return f"{self.name}, {self.setting}: {self.microseconds:.1f} us/sample ({self.rounds} rounds)"


def interleaved(contenders: Sequence[Contender], rounds: int, seconds: float = float("inf")) -> list[Measurement]:
    """Run the contenders in turn, in a new order each round, once `rounds` are done or `seconds` are over.

    A few rounds are run whatever time they take.
    """
    for contender in contenders:
        contender.run()  # The first runs fill caches and pools.
    timed = [Timed(contender.run) for contender in contenders]
    shuffle = random.Random(0).shuffle
    begin = time.perf_counter()
    done = 0
    while done < rounds and (done < LEAST_ROUNDS or time.perf_counter() - begin < seconds):
        order = list(timed)
        shuffle(order)
        for run in order:
            run.settle()
            run()
        done += 1
    return [
        Measurement(one.name, one.batch, one.samples, done, run.median, min(run.seconds), one.layout)
        for one, run in zip(contenders, timed, strict=True)
    ]


def best(measurements: Sequence[Measurement], name: str) -> Measurement:
    """Of all batches and layouts that a contender was measured with, those with which a sample takes the least time."""
    return min((one for one in measurements if one.name == name), key=lambda one: one.microseconds)
