"""The server as a process, which ends without losing what it has begun."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from gradcon_ext.data.reading.pixel_limit import own_pixel_limit
from gradcon_ext.serving.app import create_app
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.log import log_to_standard_error
from gradcon_ext.serving.settings import Settings

_LAST_REQUESTS = 0.3
"""Seconds in which connections that are open when the end begins may still bring a request that is on its way."""
_IDLE = 30
"""Seconds after which a connection without requests is closed."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: FastAPI, address: str) -> None:
        super().__init__(config)
        self._app = app
        self._address = address

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals as the request to end, which they are: the process ends by itself, with exit code 0."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so once signals are taken and requests answered."""
        await super().startup(sockets)
        print(f"Serving on {self._address}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: take no more connections, answer what comes over those that there are, and close them."""
        self._app.state.ending = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_REQUESTS)
        await super().shutdown(sockets)


def serve(path: str | os.PathLike[str], host: str, port: int, settings: Settings) -> None:
    """Serve a detector until a signal, SIGTERM or SIGINT, ends it.

    Args:
        path: the detector's file, or the folder of its run.
        host: address to listen on.
        port: likewise; 0 is a free one.
        settings: limits.

    Raises:
        OSError: there is no such file or address, or the port is taken.
        ValueError: no detector that can be served.
    """
    detector = ServedDetector.load(path)
    app = create_app(detector, settings)
    config = uvicorn.Config(
        app,
        http="h11",  # which bounds the head of a request
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    with listening(host, port) as listener, own_pixel_limit():
        warnings.filterwarnings("ignore", category=SyntaxWarning)  # of heads of .npy files, which are read as Python
        log_to_standard_error()
        if not _is_loopback(listener.getsockname()[0]):
            print("Warning: anybody who reaches this address may use it.", file=sys.stderr)
        address = f"[{host}]" if listener.family == socket.AF_INET6 else host
        _Server(config, app, f"http://{address}:{listener.getsockname()[1]}").run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, and whose connections send at once.

    An answer is written in two pieces, and the second would wait for the client to acknowledge the first: 40 ms, which
    the event loop does not see to, for it does not know an inherited socket for one of TCP.
    """
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
