"""Runs under way in one process, which take turns: enough to keep a GPU busy, to which a step is one launch."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice

import torch

from gradcon_ext.detector.detector import Detector
from gradcon_ext.training.many.run import Event, Run
from gradcon_ext.training.progress import Progress

_STEPS_A_TURN = 8
"""Exchanging the random numbers takes as long as launching a step or so."""


def in_turns(
    runs: Sequence[Run], device: torch.device, at_once: int, resume: bool
) -> Generator[tuple[int, Event], None, None]:
    """Train several runs at a time; yield what becomes of them, each event with the index of its run.

    On a GPU every run has a stream of its own, so the GPU works on one run's step while others are launched.

    Args:
        runs: to train, in this order.
        device: to train on.
        at_once: how many runs are under way at a time.
        resume: whether runs go on from their folders.
    """
    waiting = deque(enumerate(runs))
    # As many as there are runs at a time: torch has a few streams only, and two runs on one would wait for each other.
    streams = [_new_stream(device) for _ in range(min(at_once, len(runs)))]
    under_way: deque[tuple[int, _UnderWay]] = deque()
    try:
        while waiting or under_way:
            while waiting and streams:
                index, run = waiting.popleft()
                under_way.append((index, _UnderWay(run.events(device, resume), streams.pop())))
            index, current = under_way.popleft()
            event: Event
            try:
                event = current.turn()
            except Exception as error:
                current.close()
                event = error
            if isinstance(event, Progress):
                under_way.append((index, current))
            else:
                streams.append(current.stream)
            yield index, event
    finally:
        for _, current in under_way:
            current.close()


class _UnderWay:
    """A run with its stream, None on the CPU, and its random numbers: what is in place while it is its turn."""

    def __init__(self, events: Generator[Progress | Detector, None, None], stream: torch.cuda.Stream | None) -> None:
        self.stream = stream
        self._events = events
        self._steps = 1  # in the first turn, which only tells how far the run is
        self._random = torch.get_rng_state()
        if stream is not None:
            self._cuda_random = torch.cuda.default_generators[stream.device.index].clone_state()

    def turn(self) -> Progress | Detector:
        """Take some steps; return how far the run is, or what it made."""
        with self._in_place():
            for event in islice(self._events, self._steps):
                if not isinstance(event, Progress) and self.stream is not None:
                    self.stream.synchronize()  # before anyone uses the detector on another stream
        self._steps = _STEPS_A_TURN
        return event

    def close(self) -> None:
        """End the run where it is."""
        with self._in_place():
            self._events.close()

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        of_others = torch.get_rng_state()
        torch.set_rng_state(self._random)
        with ExitStack() as stack:
            if self.stream is not None:
                stack.enter_context(torch.cuda.stream(self.stream))
                stack.enter_context(_as_default_generator(self._cuda_random, self.stream.device))
            try:
                yield
            finally:
                self._random = torch.get_rng_state()
                torch.set_rng_state(of_others)


@contextmanager
def _as_default_generator(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let CUDA's default generator draw from another's state.

    The state itself, not a copy of its numbers: a CUDA graph reads the state that it was captured with, on the device,
    and graphs of several streams that share one would overwrite each other's.
    """
    default = torch.cuda.default_generators[device.index]
    of_others = default.graphsafe_get_state()
    default.graphsafe_set_state(generator)
    try:
        yield
    finally:
        default.graphsafe_set_state(of_others)


def _new_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))  # for what is there already, such as images
    return stream
