"""Worker processes, each of which trains one run after the other."""

from __future__ import annotations

import logging
import math
import multiprocessing
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from time import monotonic

import torch

from gradcon_ext._install.freed_memory import keep_freed_memory
from gradcon_ext.training.many.run import Event, Run
from gradcon_ext.training.progress import Progress

# torch and OpenMP have threads that a fork would not take along.
_CONTEXT = multiprocessing.get_context("spawn")

_READY = b""
"""What a worker sends when it waits for a run; anything else is an event and, of an error, its traceback."""

_SECONDS_BETWEEN_REPORTS = 0.2


class WorkerDied(RuntimeError):  # noqa: N818
    """A worker process ended in the middle of a run."""


class WorkerTraceback(Exception):  # noqa: N818 - it is no error, but the cause of one
    """Where in a worker an exception was raised."""


def in_processes(
    runs: Sequence[Run], at_once: int, threads: int, resume: bool
) -> Generator[tuple[int, Event], None, None]:
    """Train several runs at a time on the CPU; yield what becomes of them, each event with the index of its run.

    Closing the iterator kills the workers.

    Args:
        runs: to train, in this order.
        at_once: how many processes there are at a time.
        threads: of torch, in each.
        resume: whether runs go on from their folders.

    Raises:
        TypeError: a run cannot be sent to a process.
    """
    waiting = deque(enumerate([_packed(run) for run in runs]))
    workers: dict[Connection, _Worker] = {}
    try:
        while waiting or workers:
            while waiting and len(workers) < at_once:
                worker = _Worker(threads, resume)
                worker.assign(*waiting.popleft())
                workers[worker.connection] = worker
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                event = worker.receive()
                if event is None:
                    continue
                yield worker.index, event
                if isinstance(event, Progress):
                    continue
                if waiting and not isinstance(event, WorkerDied):
                    worker.assign(*waiting.popleft())
                else:
                    del workers[connection]
                    worker.kill()
    finally:
        for worker in workers.values():
            worker.kill()


class _Worker:
    """A process and the run that it is at.

    Attributes:
        connection: to the process.
        index: of the run.
    """

    def __init__(self, threads: int, resume: bool) -> None:
        self.connection, other_end = _CONTEXT.Pipe()
        self.index = -1
        self._packed = b""
        self._process = _CONTEXT.Process(target=_work, args=(other_end, threads, resume), daemon=True)
        with _interrupts_held():
            self._process.start()
        other_end.close()  # so that the connection ends with the process

    def assign(self, index: int, packed: bytes) -> None:
        """Have the process take a run as soon as it is ready for one."""
        self.index = index
        self._packed = packed

    def receive(self) -> Event | None:
        """Return what the process says of its run, if anything."""
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            self._process.join()
            return WorkerDied(f"its process {_end(self._process.exitcode)}")
        if message == _READY:
            with suppress(OSError):  # if it has just died, the end of the connection will tell
                self.connection.send_bytes(self._packed)
            return None
        event: Event
        event, trace = pickle.loads(message)
        if isinstance(event, Exception):
            event.__cause__ = WorkerTraceback(f"\n{trace}")
        return event

    def kill(self) -> None:
        """End the process at once: what a run leaves behind is in place as a whole or not at all."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: Connection, threads: int, resume: bool) -> None:
    """Train the runs that come, until the process is killed or the one at the other end has ended."""
    torch.set_num_threads(threads)
    keep_freed_memory()  # this process belongs to nobody else
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_READY)
            for message in _messages(connection.recv_bytes(), resume):
                connection.send_bytes(message)


def _messages(packed: bytes, resume: bool) -> Iterator[bytes]:
    """Train a run; say from time to time how far it is, and then what has become of it."""
    reported = -math.inf
    try:
        run: Run = pickle.loads(packed)
        logging.basicConfig(format=f"{run.name}: %(message)s", force=True)
        for event in run.events(torch.device("cpu"), resume):
            if not isinstance(event, Progress) or monotonic() - reported >= _SECONDS_BETWEEN_REPORTS:
                yield pickle.dumps((event, ""))
                reported = monotonic()
    except Exception as error:
        yield pickle.dumps((portable(error), traceback.format_exc()))


def portable(error: Exception) -> Exception:
    """Return an exception that can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _packed(run: Run) -> bytes:
    # Not by the connection itself, which would hand over tensors in shared memory that has to outlive the sender.
    try:
        return pickle.dumps(run)
    except Exception as error:
        raise TypeError(f"run {run.name!r} cannot be sent to a worker process: {error}") from error


def _end(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep interrupts from the terminal, which go to all processes, from those that are started meanwhile."""
    resource_tracker.ensure_running()  # it would let them through when it is started along with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
