"""Reading files out of a tar file, plain or gzip-compressed, without extracting it to disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from gradcon_ext.data.compressed import open_decompressed

_END = 1024
"""Zeros at the end of a tar file."""


def files_in_tar(
    path: str | os.PathLike[str], wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Read the wanted files of a tar file as a stream, each path in the archive with its content.

    Args:
        path: the tar file.
        wanted: says of a path in the archive whether that file is to be read.

    Raises:
        ValueError: damaged or truncated data.
    """
    with open_decompressed(path) as decompressed:
        stream = _Remembering(decompressed)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as archive:
                for member in archive:
                    name = PurePosixPath(member.name)
                    file = archive.extractfile(member) if wanted(name) else None
                    if file is not None:
                        yield name, file.read()
        except tarfile.TarError as error:
            raise ValueError(f"{path}: damaged tar file ({error})") from error
        while stream.read(1 << 20):  # gzip compares its checksum only at the very end
            pass
    if stream.last != bytes(_END):
        raise ValueError(f"{path}: truncated tar file")


class _Remembering:
    """A stream that keeps its last bytes: a tar file that ends without an end mark is taken for a shorter one."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.last = b""
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.last = (self.last + data)[-_END:]
        return data
