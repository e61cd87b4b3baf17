"""What the safetensors files of this package say of themselves, whichever library their tensors are read with.

A file's header holds JSON facts and a checksum. `gradcon_ext.tensorfile` reads tensors of torch, `gradcon_ext.runtime`
arrays of numpy; this module imports neither library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import UnionType
from typing import Any

from safetensors import SafetensorError, safe_open

METADATA_KEY = "gradcon_ext"

Content = tuple[str, str, tuple[int, ...], Any]
"""Name, dtype in torch's words, shape and bytes of a tensor."""


@contextmanager
def opened(path: str | os.PathLike[str], framework: str) -> Iterator[Any]:
    """Open a safetensors file for one of safetensors' frameworks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated or foreign.
    """
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or not a safetensors file: {error}") from error


def header_of(path: str | os.PathLike[str], file: Any, kind: str, version: int) -> dict[str, Any]:
    """Return the header of an open file: its kind, version, facts and checksum.

    Raises:
        ValueError: the file is damaged, foreign, of another kind or of another version.
    """
    header = _parsed(path, file.metadata() or {})
    if header.get("kind") != kind:
        raise ValueError(f"{path}: expected a gradcon_ext {kind}, got a {header.get('kind')}")
    if header.get("version") != version:
        raise ValueError(f"{path}: expected {kind} format version {version}, got {header.get('version')}")
    return header


def facts_of(path: str | os.PathLike[str], header: Mapping[str, Any], contents: Iterable[Content]) -> dict[str, Any]:
    """Return a header without its checksum, which the contents of the tensors must have.

    Raises:
        ValueError: they do not.
    """
    facts = {name: fact for name, fact in header.items() if name != "sha256"}
    if header.get("sha256") != checksum(facts, contents):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return facts


def checksum(facts: Mapping[str, Any], contents: Iterable[Content]) -> str:
    """SHA-256 of all that a file says: safetensors itself notices no changed number."""
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, dtype, shape, data in sorted(contents, key=lambda content: content[0]):
        digest.update(f"{name} {dtype} {shape}".encode())
        digest.update(data)
    return digest.hexdigest()


def check_facts(path: str | os.PathLike[str], facts: Mapping[str, Any], types: Mapping[str, type | UnionType]) -> None:
    """Raise ValueError, which names the file, unless all of these facts are there and of their types."""
    for name, expected in types.items():
        # JSON's true and false are no numbers, though Python's are.
        if name not in facts or isinstance(facts[name], bool) or not isinstance(facts[name], expected):
            given = repr(facts[name])[:80] if name in facts else "nothing"
            kind = expected.__name__ if isinstance(expected, type) else expected
            raise ValueError(f"{path}: expected {name} to be of type {kind}, got {given}")


def _parsed(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise ValueError(f"{path} was not written by gradcon_ext: its header has no {METADATA_KEY!r}")
    try:
        header = json.loads(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is damaged: its header is a {type(header).__name__}, not an object")
    return header
