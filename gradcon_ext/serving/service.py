"""From a request to the rows of its images."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import numpy as np
from starlette.requests import Request

from gradcon_ext.data.arrays import Array
from gradcon_ext.detector.columns import score_arrays
from gradcon_ext.runtime import Scores
from gradcon_ext.serving.admission import Account, Admission
from gradcon_ext.serving.arrays import NPY_START, npy_array, prepared_arrays, raw_array, shape_of
from gradcon_ext.serving.batching import Batcher
from gradcon_ext.serving.blocks import BlockScorer
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.files import PreparedImage, decoded_images
from gradcon_ext.serving.heat_map import heat_map
from gradcon_ext.serving.metrics import Metrics
from gradcon_ext.serving.receiving import Incoming, Received, receive
from gradcon_ext.serving.refusal import Refusal
from gradcon_ext.serving.settings import Settings

Row: TypeAlias = dict[str, Any]
_Result = TypeVar("_Result")


class Service:
    """Scores what requests bring. Of one event loop, between `start` and `close`."""

    def __init__(self, detector: ServedDetector, settings: Settings, metrics: Metrics) -> None:
        self._detector = detector
        self._settings = settings
        self._metrics = metrics
        self._scorer = BlockScorer(detector.scorer)
        self._image_bytes = 4 * math.prod(detector.scorer.image_shape)
        self._admission = Admission(settings)
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="decoding")
        self._batcher = Batcher(self._scored, settings.batch_size, settings.batch_wait / 1000, settings.threads)
        metrics.watch("gradcon_open_requests", "Requests for scores at work.", lambda: self._admission.requests)
        metrics.watch("gradcon_held_bytes", "Bytes of requests at work.", lambda: self._admission.held)
        metrics.watch("gradcon_waiting_images", "Images that wait to be scored.", lambda: self._batcher.waiting)

    def start(self) -> None:
        """Begin to score."""
        self._batcher.start()

    async def close(self) -> None:
        """End, once all that waits has been scored."""
        await self._batcher.close()
        self._pool.shutdown(cancel_futures=True)

    async def answer(self, request: Request, shape: str | None, with_heat_maps: bool) -> list[Row]:
        """Receive a request and return a row an image.

        Args:
            request: whose body is images.
            shape: of an array of raw bytes.
            with_heat_maps: whether each row has one.

        Raises:
            Refusal: it gets no scores.
        """
        incoming = Incoming(request, self._settings.max_body)
        try:
            with self._admission.request() as account:
                incoming.account = account
                received = await receive(incoming.request, self._settings)
                return await self._in_time(self._rows(received, shape, with_heat_maps, account))
        except Refusal:
            await incoming.throw_away()
            raise

    async def _in_time(self, rows: Coroutine[Any, Any, list[Row]]) -> list[Row]:
        try:
            return await asyncio.wait_for(rows, self._settings.timeout)
        except asyncio.TimeoutError:
            raise Refusal(504, f"There was no answer within {self._settings.timeout:g} seconds.") from None

    async def _rows(self, received: Received, shape: str | None, with_heat_maps: bool, account: Account) -> list[Row]:
        prepare = self._array if received.is_array else self._files
        images, names = await prepare(received, shape, account)
        self._check_number(len(images), with_heat_maps)
        columns = await self._columns(images)
        self._metrics.count_verdicts(columns.get("verdict", ["none"] * len(images)))
        rows = [
            _label(index, name, image) | dict(zip(columns, values, strict=True))
            for index, (name, image, *values) in enumerate(zip(names, images, *columns.values(), strict=True))
        ]
        if with_heat_maps:
            draw = partial(heat_map, self._detector.stored)
            maps = await asyncio.gather(*(self._in_pool(partial(draw, image.pixels)) for image in images))
            rows = [row | {"heat_map": drawn} for row, drawn in zip(rows, maps, strict=True)]
        return rows

    async def _files(
        self, received: Received, shape: str | None, account: Account
    ) -> tuple[list[PreparedImage], list[str | None]]:
        if shape is not None:
            raise Refusal(422, "A shape goes with an array of raw bytes, not with image files.")
        account.hold(len(received.bodies) * self._image_bytes)
        most = min(self._settings.max_images, max(1, self._settings.max_body // self._image_bytes))
        found = await asyncio.gather(*(self._in_pool(partial(self._decoded, body, most)) for body in received.bodies))
        account.hold(sum(len(images) - 1 for images in found) * self._image_bytes)
        names = [name for name, images in zip(received.names, found, strict=True) for _ in images]
        return [image for images in found for image in images], names

    def _decoded(self, body: bytes, most: int) -> list[PreparedImage]:
        return decoded_images(body, self._detector.preparation, self._settings.max_pixels, most)

    async def _array(
        self, received: Received, shape: str | None, account: Account
    ) -> tuple[list[PreparedImage], list[str | None]]:
        (body,) = received.bodies
        if body.startswith(NPY_START) and shape is None:
            array = npy_array(body)
        elif shape is None:
            raise Refusal(422, "Raw bytes need a shape: ?shape=N,C,H,W, or the header X-Shape.")
        else:
            array = raw_array(body, shape_of(shape))
        count = len(array) if array.ndim else 0
        self._check_number(count)
        account.hold(count * self._image_bytes)
        images = await self._in_pool(partial(prepared_arrays, array, self._detector.preparation))
        return images, [None] * len(images)

    def _check_number(self, count: int, with_heat_maps: bool = False) -> None:
        if count > self._settings.max_images:
            raise Refusal(413, f"There are {count} images; {self._settings.max_images} are taken at most.")
        if with_heat_maps and count > self._settings.max_heat_maps:
            raise Refusal(413, f"There are {count} images; {self._settings.max_heat_maps} have heat maps at most.")

    async def _columns(self, images: Sequence[PreparedImage]) -> dict[str, list[Any]]:
        """Columns of scores; images of bytes and of numbers are scored apart, for each is scored as it is."""
        layers = self._detector.scorer.layers
        places: dict[Any, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.pixels.dtype, []).append(place)
        batches = [np.stack([images[place].pixels for place in some]) for some in places.values()]
        scores = await asyncio.gather(*map(self._batcher.score, batches))
        parts = [score_arrays(part, layers) for part in scores]
        order = np.argsort([place for some in places.values() for place in some])
        return {name: list(np.concatenate([part[name] for part in parts])[order]) for name in parts[0]}

    def _scored(self, images: Array) -> Scores:
        begin = perf_counter()
        scores = self._scorer.score(images)
        self._metrics.count_batch(len(images), perf_counter() - begin)
        return scores

    def _in_pool(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)


def _label(index: int, name: str | None, image: PreparedImage) -> Row:
    label: Row = {"index": index}
    if name is not None:
        label["name"] = name
    if image.frame is not None:
        label["frame"] = image.frame
    if image.beyond is not None:
        label["beyond"] = list(image.beyond)
    return label
