"""Files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it becomes `path`, on failure it is removed.

    The content is on disk before the rename, so a reader finds the old file or the new one, never a part of
    it, also after a power cut. A symbolic link is followed: the file it points to is replaced.

    Raises:
        FileNotFoundError: the folder of `path` does not exist, or the body wrote no file.
        ValueError: `path` is there and is not a regular file (a folder or a device).
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {path}: it exists and is not a regular file")
    # Hidden, so that nobody takes it for a result; with the suffix, by which some writers choose the format.
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        _flush(temporary, os.O_RDWR)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _flush(target.parent, os.O_RDONLY)


@contextmanager
def exclusive(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder, which is made if need be.

    Raises:
        RuntimeError: another process is at work in it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with Path(folder, ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"another process is at work in {folder}") from error
        yield


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
