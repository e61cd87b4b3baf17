"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write ends with, without a file's name; other errors without one may be of what is read meanwhile."""


PARTIAL = "gradcon-partial-"
"""In the names of temporary files, before eight hexadecimal digits."""


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it becomes `path`, on failure it is removed.

    The content is on disk before the rename, so a reader finds the old file or the new one, never a part of
    it, also after a power cut. A symbolic link is replaced itself: what it points to stays as it is.

    Raises:
        FileNotFoundError: the folder of `path` does not exist, or the body wrote no file.
        ValueError: `path` is there and is not a regular file (a folder or a device).
        OSError: it cannot be written, as on a full disk; `filename` is `path`.
    """
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {path}: it exists and is not a regular file")
    # Hidden, so that nobody takes it for a result; with the suffix, by which some writers choose the format.
    temporary = target.with_name(f".{target.stem}.{PARTIAL}{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        _flush(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except OSError as error:
        if not _is_of_writing(error, temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _flush(target.parent, os.O_RDONLY)


def _is_of_writing(error: OSError, temporary: Path) -> bool:
    """Whether an error tells of the temporary file, of which nobody has heard: by its name, or by no name at all."""
    if error.filename is None:
        return error.errno in _WRITING
    return str(error.filename) == str(temporary) and not isinstance(error, FileNotFoundError)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
