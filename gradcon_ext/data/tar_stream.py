"""Reading files out of a tar file, plain or gzip-compressed, without extracting it to disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from gradcon_ext.data.compressed import BoundedStream, open_decompressed

if TYPE_CHECKING:
    from typing_extensions import Self

_END = 1024
"""Zeros at the end of a tar file."""
_LARGEST_HEADER = 1 << 16
"""Bytes of a long name, or of other facts about a file that stand before it."""


def files_in_tar(
    path: str | os.PathLike[str], wanted: Callable[[PurePosixPath], bool], largest: int
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Read the wanted files of a tar file as a stream, each path in the archive with its content.

    Args:
        path: the tar file.
        wanted: says of a path in the archive whether that file is to be read.
        largest: bytes that a wanted file may have.

    Raises:
        ValueError: damaged or truncated data, a larger file, or more than a compressed file of its size may hold.
    """
    with open_decompressed(path) as decompressed:
        stream = _Remembering(decompressed, path)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|", tarinfo=_Member) as archive:
                # Asked for more, an archive without files would go back to its start in Python 3.10.
                empty = cast(Any, archive).firstmember is None
                while not empty and (member := archive.next()) is not None:
                    cast(Any, archive).members = []  # which would grow with the archive
                    name = PurePosixPath(member.name)
                    file = archive.extractfile(member) if wanted(name) else None
                    if file is None:
                        continue
                    if member.size > largest:
                        raise ValueError(f"{path}: {name} has {member.size} bytes; expected {largest} at most")
                    yield name, file.read()
        except tarfile.TarError as error:
            raise ValueError(f"{path}: damaged tar file ({error})") from error
        while stream.read(1 << 20):  # gzip compares its checksum only at the very end
            pass
    if stream.last != bytes(_END):
        raise ValueError(f"{path}: truncated tar file")


class _Member(tarfile.TarInfo):
    """The header of a file in the archive, or of facts about the next one, all of which tarfile would read at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if not member.isfile() and member.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes; expected {_LARGEST_HEADER} at most")
        return member


class _Remembering:
    """A stream that keeps its last bytes: a tar file that ends without an end mark is taken for a shorter one."""

    def __init__(self, stream: BoundedStream, path: str | os.PathLike[str]) -> None:
        self.last = b""
        self._stream = stream
        self._path = path

    def read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from error
        self.last = (self.last + data)[-_END:]
        return data
