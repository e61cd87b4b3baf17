"""A function over many items, several at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Items a worker that are begun before their results are asked for."""


def available_workers() -> int:
    """Return the number of processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, ahead: int = AHEAD
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of the items.

    Threads compute a bounded number of results ahead, so memory does not grow with the items; what `function` raises
    is raised at its turn. Decoding of images leaves Python's lock alone for most of its time.

    Args:
        function: is called in several threads.
        items: are taken as they are needed.
        workers: threads; as many as there are processors by default.
        ahead: items a thread that are begun before their results are asked for.
    """
    count = workers or available_workers()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="reading") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
