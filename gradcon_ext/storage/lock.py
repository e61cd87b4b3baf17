"""One writer a folder."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

from filelock import FileLock, Timeout

from gradcon_ext.storage.files import replace_file

LOCK = ".lock"
HOLDER = ".lock.json"
"""Who holds the lock. Not in the lock's own file, which some versions of filelock empty when they try to lock it."""

_POLL = 0.02
"""Seconds between two tries."""

_RESERVED: ContextVar[frozenset[Path]] = ContextVar("reserved", default=frozenset())


class FolderInUse(RuntimeError):  # noqa: N818 - it says what has happened
    """Somebody else writes to a folder."""


@contextmanager
def locked(folder: str | os.PathLike[str], patience: float = 0.0) -> Iterator[None]:
    """Keep everybody else who asks for the same out of a folder, which is made if need be.

    The lock is the system's and ends with its process, however that ends. Its two files, `.lock` and `.lock.json`, are
    removed at the end; those of a process that was killed stay until the next one takes them over.

    Args:
        folder: to write to.
        patience: seconds to wait for whoever holds it.

    Raises:
        FolderInUse: another process, or another block in this one, holds the folder; says which, and since when.
        ValueError: the folder has a file with the name of one of the two that is somebody else's, or a link.
    """
    place = Path(folder).resolve()
    if place in _RESERVED.get():
        yield
        return
    place.mkdir(parents=True, exist_ok=True)
    _refuse_foreign(place)
    lock = _acquired_within(patience, place, folder)
    process = os.getpid()
    try:
        _write_holder(place)
        yield
    finally:
        if os.getpid() == process:  # the lock is not that of a child that was forked meanwhile
            # Before the lock is given up: who opened the file and waits for it will notice that it is gone.
            for name in (HOLDER, LOCK):
                (place / name).unlink(missing_ok=True)
            lock.release()


@contextmanager
def reserved(folder: str | os.PathLike[str], patience: float = 0.0) -> Iterator[None]:
    """Lock a folder for all that this block calls: there, `locked` of the same folder is granted."""
    with locked(folder, patience):
        token = _RESERVED.set(_RESERVED.get() | {Path(folder).resolve()})
        try:
            yield
        finally:
            _RESERVED.reset(token)


def refuse_in_use(folder: str | os.PathLike[str]) -> None:
    """Raise FolderInUse if somebody else holds the folder at this moment; does not make it."""
    if Path(folder, LOCK).exists():
        with locked(folder):
            pass


def _refuse_foreign(place: Path) -> None:
    """Raise ValueError for files that are not ours, which would be written to and removed."""
    for path, is_own in ((place / LOCK, _is_own_lock), (place / HOLDER, _is_own_holder)):
        if os.path.lexists(path) and not is_own(path):
            raise ValueError(f"{path} is not what gradcon_ext writes there to lock the folder; move it away")


def _is_own_lock(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:  # its holder has just ended
        return True
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _is_own_holder(path: Path) -> bool:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return not path.is_symlink()
    except (OSError, ValueError):
        return False
    return not path.is_symlink() and isinstance(holder, dict) and {"process", "host", "started"} <= holder.keys()


def _acquired_within(patience: float, place: Path, folder: str | os.PathLike[str]) -> FileLock:
    until = monotonic() + patience
    while True:
        try:
            return _acquired(place, folder)
        except FolderInUse:
            if monotonic() >= until:
                raise
            sleep(_POLL)


def _acquired(place: Path, folder: str | os.PathLike[str]) -> FileLock:
    path = place / LOCK
    while True:
        path.touch()
        inode = _inode(path)
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if _inode(path) == inode:
                raise FolderInUse(_message(place, folder)) from None
            continue
        # The holder before may have removed the file after it was opened here; a lock of such a file keeps nobody out.
        if inode is not None and _inode(path) == inode:
            return lock
        lock.release()


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def _write_holder(place: Path) -> None:
    started = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"process": os.getpid(), "host": socket.gethostname(), "started": started}
    with replace_file(place / HOLDER) as temporary:
        temporary.write_text(json.dumps(holder) + "\n", encoding="utf-8")


def _message(place: Path, folder: str | os.PathLike[str]) -> str:
    try:
        holder = json.loads((place / HOLDER).read_text(encoding="utf-8"))
        by = f"process {holder['process']} on {holder['host']} is at work there since {holder['started']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun, or ended
        by = "another process is at work there"
    return f"{folder} is in use: {by}; wait until it has ended, or take another folder"
