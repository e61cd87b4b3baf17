"""Requests that come within a few milliseconds, scored together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from gradcon_ext.data.arrays import Array
from gradcon_ext.runtime import Scores

_TICK = 0.005
"""Seconds between looks at what is left at the end."""


@dataclass(eq=False)
class _Piece:
    """Images of one request that are scored at once, and when they came."""

    images: Array
    came: float
    scores: asyncio.Future[Scores]


class Batcher:
    """Gathers images of several requests into batches, and has threads score them. Of one event loop.

    A batch is scored when it is full, when its first images have waited for long enough, or else as soon as a thread is
    free; while all are busy batches grow. What is given up meanwhile is not scored.

    Args:
        score: images (N, C, H, W) in any of the threads.
        size: the most images of a batch.
        wait: seconds.
        threads: that score.
    """

    def __init__(self, score: Callable[[Array], Scores], size: int, wait: float, threads: int) -> None:
        self._score = score
        self._size = size
        self._wait = wait
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        self._free = asyncio.Semaphore(threads)
        self._pieces: deque[_Piece] = deque()
        self._came = asyncio.Event()
        self._is_full = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Images that wait."""
        return sum(len(piece.images) for piece in self._pieces)

    def start(self) -> None:
        """Begin to score."""
        self._gathering = asyncio.create_task(self._gather())

    async def close(self) -> None:
        """End, once all that waits has been scored."""
        while self._pieces or self._batches:
            await asyncio.sleep(_TICK)
        if self._gathering is not None:
            self._gathering.cancel()
        self._pool.shutdown()

    async def score(self, images: Array) -> Scores:
        """Score images (N, C, H, W) of a request."""
        loop = asyncio.get_running_loop()
        pieces = [
            _Piece(images[start : start + self._size], loop.time(), loop.create_future())
            for start in range(0, len(images), self._size)
        ]
        self._pieces.extend(pieces)
        self._came.set()
        if self.waiting >= self._size:
            self._is_full.set()
        return _joined(await asyncio.gather(*(piece.scores for piece in pieces)))

    async def _gather(self) -> None:
        while True:
            await self._free.acquire()
            batch = await self._next()
            task = asyncio.create_task(self._answer(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _next(self) -> list[_Piece]:
        while True:
            self._came.clear()
            self._pieces = deque(piece for piece in self._pieces if not piece.scores.cancelled())
            if self._pieces:
                await self._wait_for_others(self._pieces[0].came + self._wait)
                if batch := self._taken():
                    return batch
            else:
                await self._came.wait()

    async def _wait_for_others(self, end: float) -> None:
        self._is_full.clear()
        left = end - asyncio.get_running_loop().time()
        if self.waiting < self._size and left > 0:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), left)

    def _taken(self) -> list[_Piece]:
        """Pieces of one dtype, in their order, as many as a batch holds."""
        taken: list[_Piece] = []
        left: deque[_Piece] = deque()
        room = self._size
        for piece in self._pieces:
            if piece.scores.cancelled():
                continue
            if len(piece.images) <= room and (not taken or piece.images.dtype == taken[0].images.dtype):
                taken.append(piece)
                room -= len(piece.images)
            else:
                left.append(piece)
        self._pieces = left
        return taken

    async def _answer(self, batch: Sequence[_Piece]) -> None:
        images = [piece.images for piece in batch]
        try:
            scores = await asyncio.get_running_loop().run_in_executor(self._pool, self._score_together, images)
        except Exception as error:  # each request has to hear of it
            for piece in batch:
                if not piece.scores.done():
                    piece.scores.set_exception(error)
            return
        finally:
            self._free.release()
        start = 0
        for piece in batch:
            stop = start + len(piece.images)
            if not piece.scores.done():
                piece.scores.set_result(_part(scores, start, stop))
            start = stop

    def _score_together(self, images: Sequence[Array]) -> Scores:
        return self._score(images[0] if len(images) == 1 else np.concatenate(images))


def _part(scores: Scores, start: int, stop: int) -> Scores:
    return Scores(*(None if column is None else column[start:stop] for column in scores))  # type: ignore[arg-type]


def _joined(parts: Sequence[Scores]) -> Scores:
    if len(parts) == 1:
        return parts[0]
    columns = zip(*parts, strict=True)
    return Scores(*(None if some[0] is None else np.concatenate(some) for some in columns))  # type: ignore[arg-type]
