"""What the safetensors files of this package say of themselves, whichever library their tensors are read with.

A file's header holds JSON facts and a checksum. `gradcon_ext.storage.tensor_file` reads tensors of torch,
`gradcon_ext.runtime` arrays of numpy; this module imports neither library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, deserialize

if TYPE_CHECKING:
    from typing_extensions import Buffer

METADATA_KEY = "gradcon_ext"

LARGEST_FILE = 2**36
"""Bytes of a file that is read."""

_LONGEST_HEADER = 100_000_000
"""Bytes, as safetensors itself has it."""

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


class Stored(NamedTuple):
    """A tensor as a file holds it.

    Attributes:
        dtype: its name, in torch and numpy, such as "float32".
        shape: of the tensor.
        data: its bytes, in C order.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytearray


def read_stored(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Stored], dict[str, Any]]:
    """Read a file of a kind and version: its tensors by their names, and its facts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, damaged, foreign, of another kind or of another version.
    """
    size = os.stat(path).st_size
    if size > LARGEST_FILE:
        raise ValueError(f"{path} has {size} bytes; expected {LARGEST_FILE} at most")
    # By its bytes, because `safe_open` leaks more than a kilobyte a call. Sizes in the header are checked against them.
    content = Path(path).read_bytes()
    try:
        entries = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or not a safetensors file: {error}") from error
    header = _header(path, content, kind, version)
    stored = {name: _stored(path, name, entry) for name, entry in entries}
    facts = {name: fact for name, fact in header.items() if name != "sha256"}
    if header.get("sha256") != checksum(facts, stored):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return stored, facts


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """The kind that a file's header names, whatever else is in it; None of a file that is none of this package's."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LONGEST_HEADER else b""
    try:
        kind = json.loads(json.loads(header)["__metadata__"][METADATA_KEY])["kind"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return kind if isinstance(kind, str) else None


def checksum(facts: Mapping[str, Any], contents: Mapping[str, tuple[str, tuple[int, ...], Buffer]]) -> str:
    """SHA-256 of all that a file says: safetensors itself notices no changed number.

    Args:
        facts: in the header.
        contents: dtype, shape and bytes of each tensor by its name, as in `Stored`.
    """
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, (dtype, shape, data) in sorted(contents.items(), key=lambda content: content[0]):
        digest.update(f"{name} torch.{dtype} {shape}".encode())
        digest.update(data)
    return digest.hexdigest()


def check_facts(path: str | os.PathLike[str], facts: Mapping[str, Any], types: Mapping[str, type | UnionType]) -> None:
    """Raise ValueError, which names the file, unless all of these facts are there and of their types."""
    for name, expected in types.items():
        # JSON's true and false are no numbers, though Python's are.
        is_bool = isinstance(facts.get(name), bool)
        if name not in facts or is_bool != (expected is bool) or not isinstance(facts[name], expected):
            given = repr(facts[name])[:80] if name in facts else "nothing"
            kind = expected.__name__ if isinstance(expected, type) else expected
            raise ValueError(f"{path}: expected {name} to be of type {kind}, got {given}")


def _stored(path: str | os.PathLike[str], name: str, entry: Mapping[str, Any]) -> Stored:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{path}: {name} is of dtype {entry['dtype']}; expected one of {', '.join(_DTYPES)}")
    return Stored(_DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data"])


def _header(path: str | os.PathLike[str], content: bytes, kind: str, version: int) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")  # `deserialize` has found it to fit
    header = _parsed(path, json.loads(content[8 : 8 + length]).get("__metadata__") or {})
    if header.get("kind") != kind:
        raise ValueError(f"{path}: expected a gradcon_ext {kind}, got a {header.get('kind')}")
    if header.get("version") != version:
        raise ValueError(f"{path}: expected {kind} format version {version}, got {header.get('version')}")
    return header


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
