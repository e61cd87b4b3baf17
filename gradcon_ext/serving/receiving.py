"""What a request brings, received within limits."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from gradcon_ext.serving.admission import Account
from gradcon_ext.serving.refusal import Refusal
from gradcon_ext.serving.settings import Settings

_ARRAYS = ("application/octet-stream", "application/x-npy", "application/npy")
_EXPECTED = f"expected multipart/form-data, image/*, {' or '.join(_ARRAYS[:2])}"
_LINGER = 1.0
"""Seconds in which the rest of a request that is refused is thrown away."""


class Received(NamedTuple):
    """The content of a request.

    Attributes:
        bodies: image files, or one array.
        names: of the files in a form; None of what has no name.
        is_array: whether it is one.
    """

    bodies: list[bytes]
    names: list[str | None]
    is_array: bool


class Incoming:
    """The messages of a request, as long as their bodies are not too large together.

    Attributes:
        request: the same request, of no more bytes than are allowed.
        account: that the bytes are held for, once the request is let in.
    """

    def __init__(self, request: Request, most: int) -> None:
        self.request = Request(request.scope, self._next)
        self.account: Account | None = None
        self._receive = request.receive
        self._most = most
        self._count = 0
        self._has_ended = False

    async def _next(self) -> Message:
        message = await self._receive()
        self._has_ended = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._count += size
        if self._count > self._most:
            raise Refusal(413, f"The body has more than {self._most} bytes.")
        if self.account is not None:
            self.account.hold(size)
        return message

    async def throw_away(self) -> None:
        """Receive what is left, for a while: who is still sending would read no answer."""
        end = asyncio.get_running_loop().time() + _LINGER
        while not self._has_ended and (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            self._has_ended = not message.get("more_body", False)


async def receive(request: Request, settings: Settings) -> Received:
    """Receive a request.

    Raises:
        Refusal: 400, a form without end; 408, the request does not come to its end; 415, it is of another type; 422,
            it is empty, or a form of other things than files; or what `Incoming` raises.
        HTTPException: 400, a damaged form, or one of too many parts.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data" and kind not in _ARRAYS and not kind.startswith("image/"):
        raise Refusal(415, f"The content type is {kind[:80]!r}; {_EXPECTED}.")
    read = _form(request, settings.max_images) if kind == "multipart/form-data" else _whole(request, kind in _ARRAYS)
    try:
        received = await asyncio.wait_for(read, settings.timeout)
    except asyncio.TimeoutError:
        raise Refusal(408, f"The request did not come to its end within {settings.timeout:g} seconds.") from None
    if not all(received.bodies):
        raise Refusal(422, "There are no bytes of an image.")
    return received


async def _whole(request: Request, is_array: bool) -> Received:
    return Received([await request.body()], [None], is_array)


async def _form(request: Request, most: int) -> Received:
    _, options = parse_options_header(request.headers["content-type"])
    end = b"--" + options.get(b"boundary", b"") + b"--"
    if not (await request.body()).rstrip().endswith(end):
        raise Refusal(400, "The form does not end with its boundary.")
    bodies, names = [], list[str | None]()
    async with request.form(max_files=most, max_fields=1) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise Refusal(422, f"The form's {name[:80]!r} is no file.")
            bodies.append(await value.read())
            names.append(value.filename)
    if not bodies:
        raise Refusal(422, "The form has no files.")
    return Received(bodies, names, False)
