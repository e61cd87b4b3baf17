"""Opening files that may be gzip-compressed, and that cannot decompress without bound."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

_GZIP_MAGIC = b"\x1f\x8b"
_ALWAYS_READ = 1 << 26
"""Bytes that a compressed file may hold however small it is,"""
_LARGEST_RATIO = 64
"""and how many times its size beyond that; those of the published data sets hold 1.1 to 8 times theirs."""
_AT_ONCE = 1 << 20


class BoundedStream:
    """Reads a file, no more of it than a bound that its size on disk sets.

    Attributes:
        bound: bytes that may be read from the beginning to the end.
    """

    def __init__(self, stream: io.BufferedIOBase, bound: int) -> None:
        self.bound = bound
        self._stream = stream
        self._left = bound

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end; memory is taken for what is there, not for what is asked for.

        Raises:
            ValueError: the file holds more than the bound.
        """
        content = bytearray()
        while len(content) < size and (some := self._stream.read(min(size - len(content), _AT_ONCE))):
            self._left -= len(some)
            if self._left < 0:
                raise ValueError(
                    f"its content is larger than {self.bound} bytes, the most that a file of its size may hold"
                )
            content += some
        return bytes(content)


@contextmanager
def open_decompressed(path: str | os.PathLike[str]) -> Iterator[BoundedStream]:
    """Open a file for reading, through gzip where its content (not its name) says so.

    A compressed file may hold 64 MiB, or 64 times its own size where that is more.

    Raises:
        ValueError: the compressed data prove damaged or truncated while they are read, or to hold more than that.
    """
    with open(path, "rb") as file:
        compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if not compressed:
            yield BoundedStream(file, size)
            return
        try:
            with gzip.open(file) as decompressed:
                yield BoundedStream(decompressed, max(_ALWAYS_READ, _LARGEST_RATIO * size))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file ({error})") from error
