"""What a server takes, and how much of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def _processors() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Settings:
    """Limits of a server; bytes, images and seconds where nothing else is said.

    Attributes:
        batch_wait: milliseconds that a request waits for others to be scored with.
        batch_size: the most images of a batch; larger requests are several.
        threads: that score, and as many that decode.
        max_body: bytes of one request.
        max_pixels: of one encoded image; more are not decoded.
        max_images: of one request.
        max_heat_maps: of one request.
        max_requests: that are at work at once; more are told to come again.
        max_memory: bytes that the bodies and the prepared images of all requests take together; likewise.
        timeout: of receiving a request, and of answering it once it is there.
        grace: for requests to be answered once the server is told to end.

    Raises:
        ValueError: one is not positive, or `max_body` is above `max_memory`.
    """

    batch_wait: float = 2.0
    batch_size: int = 32
    threads: int = field(default_factory=_processors)
    max_body: int = 2**25
    max_pixels: int = 25_000_000
    max_images: int = 1024
    max_heat_maps: int = 64
    max_requests: int = 256
    max_memory: int = 2**29
    timeout: float = 30.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf") and not (name == "batch_wait" and value == 0):
                raise ValueError(f"{name} must be positive, got {value}")
        if self.max_body > self.max_memory:
            raise ValueError(f"max_body is {self.max_body} bytes; max_memory allows {self.max_memory} of all requests")
