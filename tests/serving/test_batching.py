from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcon_ext.runtime import Scores
from gradcon_ext.serving.batching import Batcher
from gradcon_ext.serving.blocks import BlockScorer
from gradcon_ext.serving.detector import ServedDetector
from support.served import random_bytes


class Recorded:
    """Scores that tell which image they are of, and how many were scored at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Any) -> Scores:
        self.batches.append(len(images))
        if (images == 99).any():
            raise ArithmeticError("99")
        values = images[:, 0, 0, 0].astype(np.float32)
        return Scores(values, values, values[:, None], values)


def run(score: Callable[[Any], Scores], use: Callable[[Batcher], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        batcher = Batcher(score, **{"size": 32, "wait": 0.05, "threads": 2, **options})
        batcher.start()
        try:
            return await use(batcher)
        finally:
            await batcher.close()

    return asyncio.run(main())


def numbered(*numbers: int) -> Any:
    return np.array(numbers, np.uint8).reshape(-1, 1, 1, 1)


def test_requests_that_come_together_are_one_batch_and_get_their_own_scores() -> None:
    score = Recorded()

    async def use(batcher: Batcher) -> Any:
        return await asyncio.gather(*(batcher.score(numbered(n, n + 50)) for n in range(10)))

    answers = run(score, use)
    assert score.batches == [20]
    assert [answer.anomaly.tolist() for answer in answers] == [[n, n + 50] for n in range(10)]


def test_a_full_batch_waits_for_nobody() -> None:
    score = Recorded()

    async def use(batcher: Batcher) -> None:
        await asyncio.wait_for(asyncio.gather(*(batcher.score(numbered(n)) for n in range(8))), 10)

    run(score, use, size=4, wait=1000)
    assert score.batches == [4, 4]


def test_a_large_request_is_several_batches() -> None:
    score = Recorded()
    answer = run(score, lambda batcher: batcher.score(numbered(*range(70))))
    assert sorted(score.batches) == [6, 32, 32]
    assert answer.anomaly.tolist() == list(range(70))
    assert answer.p_value is None


def test_bytes_and_numbers_are_scored_apart() -> None:
    score = Recorded()

    async def use(batcher: Batcher) -> Any:
        kinds = (numbered(1), numbered(2).astype(np.float32), numbered(3))
        return await asyncio.gather(*map(batcher.score, kinds))

    assert [answer.anomaly.tolist() for answer in run(score, use)] == [[1], [2], [3]]
    assert sorted(score.batches) == [1, 2]


def test_what_is_given_up_is_not_scored() -> None:
    score = Recorded()

    async def use(batcher: Batcher) -> Any:
        given_up = asyncio.create_task(batcher.score(numbered(1)))
        kept = asyncio.create_task(batcher.score(numbered(2)))
        await asyncio.sleep(0.01)
        given_up.cancel()
        return await kept

    assert run(score, use).anomaly.tolist() == [2]
    assert score.batches == [1]


def test_a_failure_is_told_to_every_request_of_its_batch_and_to_no_other() -> None:
    async def use(batcher: Batcher) -> Any:
        both = await asyncio.gather(batcher.score(numbered(99)), batcher.score(numbered(1)), return_exceptions=True)
        return both, await batcher.score(numbered(5))

    failed, later = run(Recorded(), use)
    assert [type(one) for one in failed] == [ArithmeticError, ArithmeticError]
    assert later.anomaly.tolist() == [5]


def test_the_end_comes_when_all_is_scored() -> None:
    async def use(batcher: Batcher) -> Any:
        tasks = [asyncio.create_task(batcher.score(numbered(n))) for n in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        return [task.done() and task.result().anomaly.tolist() for task in tasks]

    assert run(Recorded(), use) == [[n] for n in range(5)]


@settings(max_examples=15)
@given(
    requests=st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0, 0, 0.001, 0.004])), min_size=1, max_size=8),
    size=st.sampled_from([1, 5, 32]),
    threads=st.integers(1, 3),
)
def test_scores_do_not_depend_on_how_requests_were_gathered(
    detector: ServedDetector, requests: list[tuple[int, float]], size: int, threads: int
) -> None:
    scorer = BlockScorer(detector.scorer)
    sets = [random_bytes(count=count, seed=seed) for seed, (count, _) in enumerate(requests)]

    async def use(batcher: Batcher) -> Any:
        async def late(images: Any, seconds: float) -> Scores:
            await asyncio.sleep(seconds)
            return await batcher.score(images)

        delays = (seconds for _, seconds in requests)
        return await asyncio.gather(*map(late, sets, delays))

    for images, scores in zip(sets, run(scorer.score, use, size=size, wait=0.002, threads=threads), strict=True):
        assert all(map(np.array_equal, scores, scorer.score(images)))


def test_batches_grow_while_all_threads_are_busy() -> None:
    record, may_go_on = Recorded(), threading.Event()

    def score(images: Any) -> Scores:
        scores = record(images)
        assert may_go_on.wait(60)
        return scores

    async def use(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.score(numbered(0)))
        while not record.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.score(numbered(n))) for n in range(20)]
        await asyncio.sleep(0.01)
        assert batcher.waiting == 20
        may_go_on.set()
        await asyncio.gather(first, *others)

    run(score, use, wait=0.0, threads=1)
    assert record.batches == [1, 20]
