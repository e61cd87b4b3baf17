"""Tensors and JSON facts in one safetensors file, written at once and checked when read. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from types import UnionType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gradcon_ext.files import replace_file

_METADATA_KEY = "gradcon_ext"


def write_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Write a file of a kind ("detector", ...) and a version of that kind's format; it appears by rename.

    Args:
        path: the file.
        kind: what the file holds.
        version: of the format.
        tensors: by name, on any device.
        facts: what JSON can hold.
    """
    # Clones, since safetensors refuses tensors that share memory, as tied weights do.
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    header = {"kind": kind, "version": version, **facts}
    header["sha256"] = _checksum(header, stored)
    with replace_file(path) as temporary:
        # Not by `save_file`, whose files are for their owner's eyes only.
        temporary.write_bytes(save(stored, metadata={_METADATA_KEY: json.dumps(header)}))


def read_tensors(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: tensors on the CPU, and the facts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, truncated, foreign, of another kind or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Clones, since the tensors of a file are views of it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or not a safetensors file: {error}") from error
    header = _parsed(path, metadata)
    if header.get("kind") != kind:
        raise ValueError(f"{path}: expected a gradcon_ext {kind}, got a {header.get('kind')}")
    if header.get("version") != version:
        raise ValueError(f"{path}: expected {kind} format version {version}, got {header.get('version')}")
    checksum = header.pop("sha256", None)
    if checksum != _checksum(header, tensors):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return tensors, header


def check_facts(path: str | os.PathLike[str], facts: Mapping[str, Any], types: Mapping[str, type | UnionType]) -> None:
    """Raise ValueError, which names the file, unless all of these facts are there and of their types."""
    for name, expected in types.items():
        # JSON's true and false are no numbers, though Python's are.
        if name not in facts or isinstance(facts[name], bool) or not isinstance(facts[name], expected):
            given = repr(facts[name])[:80] if name in facts else "nothing"
            kind = expected.__name__ if isinstance(expected, type) else expected
            raise ValueError(f"{path}: expected {name} to be of type {kind}, got {given}")


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under names that begin with a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _parsed(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    if _METADATA_KEY not in metadata:
        raise ValueError(f"{path} was not written by gradcon_ext: its header has no {_METADATA_KEY!r}")
    try:
        header = json.loads(metadata[_METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is damaged: its header is a {type(header).__name__}, not an object")
    return header


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a file says: safetensors itself notices no changed number."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
