"""Reading files out of a tar file, plain or gzip-compressed, without extracting it to disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from gradcon_ext.data.compressed import open_decompressed


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
    with open_decompressed(path) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    name = PurePosixPath(member.name)
                    file = archive.extractfile(member) if wanted(name) else None
                    if file is not None:
                        yield name, file.read()
        except tarfile.TarError as error:
            raise ValueError(f"{path}: damaged tar file ({error})") from error
        while stream.read(1 << 20):  # gzip compares its checksum only at the very end
            pass
