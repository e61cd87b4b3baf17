"""What happens to every request: it is counted, and what fails is told to the log and not to the client."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from time import perf_counter

from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradcon_ext.serving.metrics import Metrics

_LOG = logging.getLogger(__name__)
_PATHS = frozenset(("/score", "/health", "/ready", "/detector", "/metrics"))
_FAILED = "The server failed."
_ENDED = "The server has ended."


class Observation:
    """Middleware of ASGI."""

    def __init__(self, app: ASGIApp, metrics: Metrics, state: State) -> None:
        self._app = app
        self._metrics = metrics
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._state.ending:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:  # which is a mistake of this program
            _log(error)
            if status == 0:
                await _answer(observed, 500, _FAILED)
        except asyncio.CancelledError:  # by the end of the grace
            if status != 0 or not self._state.ending:
                raise
            await _answer(observed, 503, _ENDED)
        finally:
            path = scope["path"] if scope["path"] in _PATHS else "other"
            self._metrics.count_request(path, status, perf_counter() - begin)


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _log(error: Exception) -> None:
    """Log where an error arose, with its message escaped, since what a client has sent may be in it."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("%s: %s\n%s", type(error).__name__, ascii(str(error)), places)
