"""Opening files that may be gzip-compressed."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_decompressed(path: str | os.PathLike[str]) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading, through gzip where its content (not its name) says so.

    Raises:
        ValueError: the compressed data prove damaged or truncated while they are read.
    """
    with open(path, "rb") as file:
        compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            yield file
            return
        try:
            with gzip.open(file) as decompressed:
                yield decompressed
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file ({error})") from error
