"""How much is at work at once, so that memory stays bounded whatever comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gradcon_ext.serving.refusal import Refusal
from gradcon_ext.serving.settings import Settings


class Admission:
    """Counts requests at work, and the bytes that they hold. Of one thread, that of the event loop.

    Attributes:
        requests: at work.
        held: bytes.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_requests = settings.max_requests
        self._most_bytes = settings.max_memory
        self.requests = 0
        self.held = 0

    @contextmanager
    def request(self) -> Iterator[Account]:
        """Let a request in.

        Raises:
            Refusal: there are too many.
        """
        if self.requests >= self._most_requests:
            raise Refusal(503, f"{self.requests} requests are at work already; come again.")
        self.requests += 1
        account = Account(self)
        try:
            yield account
        finally:
            self.requests -= 1
            self.held -= account.bytes

    def hold(self, count: int) -> None:
        """Hold further bytes; raise Refusal if they are too many."""
        if count > self._most_bytes:
            raise Refusal(413, f"The request would take {count} bytes; the server has {self._most_bytes}.")
        if self.held + count > self._most_bytes:
            raise Refusal(503, "The requests at work take all the memory there is for them; come again.")
        self.held += count


@dataclass
class Account:
    """What one request holds."""

    admission: Admission
    bytes: int = 0

    def hold(self, count: int) -> None:
        """Hold further bytes for it; raise Refusal if they are too many."""
        self.admission.hold(count)
        self.bytes += count
