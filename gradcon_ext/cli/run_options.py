"""The options of a run of `gradcon train`, in its folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradcon_ext.cli.config import to_toml
from gradcon_ext.detector.place import CHECKPOINT
from gradcon_ext.storage.files import replace_file
from gradcon_ext.training.run_contents import CONFIG, CONFIG_HEAD, is_own


def options_before(words: Sequence[str]) -> Path | None:
    """Return the file with the options of the run that a command's words ask to resume, if there is one."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
    finder.add_argument("--resume", action="store_true")
    finder.add_argument("--out", type=Path)
    asked = finder.parse_known_args(words)[0]
    path = asked.out / CONFIG if asked.resume and asked.out is not None else None
    return path if path is not None and is_own(path) else None


@contextmanager
def kept_options(folder: Path, options: Mapping[str, Any]) -> Iterator[str]:
    """Write a run's options into its folder, and yield them as TOML.

    Whatever ends the body, options before come back where it has left the checkpoint as it was, which they belong to.

    Args:
        folder: of the run.
        options: by name.
    """
    path = folder / CONFIG
    before = path.read_bytes() if is_own(path) else None
    checkpoint = _written(folder / CHECKPOINT)
    text = to_toml(CONFIG_HEAD, options)
    _write(path, text.encode(errors="surrogateescape"))  # paths may have any bytes
    try:
        yield text
    except BaseException:
        if before is not None and _written(folder / CHECKPOINT) == checkpoint:
            _write(path, before)
        raise


def _written(path: Path) -> tuple[int, int] | None:
    """What another file in its place has otherwise; None where there is none."""
    if not path.exists():
        return None
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def _write(path: Path, content: bytes) -> None:
    with replace_file(path) as temporary:
        temporary.write_bytes(content)
