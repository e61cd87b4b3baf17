"""Tensors and JSON facts in one safetensors file, written at once and checked when read. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gradcon_ext.storage.files import replace_file
from gradcon_ext.storage.header import METADATA_KEY, Stored, checksum, read_stored


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
    header["sha256"] = checksum(header, _contents(stored))
    with replace_file(path) as temporary:
        # Not by `save_file`, whose files are for their owner's eyes only.
        temporary.write_bytes(save(stored, metadata={METADATA_KEY: json.dumps(header)}))


def read_tensors(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: tensors on the CPU, and the facts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, truncated, foreign, of another kind or of another version.
    """
    stored, facts = read_stored(path, kind, version)
    return {name: tensor_of(each) for name, each in stored.items()}, facts


def tensor_of(stored: Stored) -> Tensor:
    """Return a tensor on the CPU that shares the memory of what was read, whatever torch's default device and dtype."""
    dtype = getattr(torch, stored.dtype)
    if not stored.data:  # torch makes no tensor of an empty buffer
        return torch.empty(stored.shape, dtype=dtype, device="cpu")
    return torch.frombuffer(stored.data, dtype=dtype).reshape(stored.shape)


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under names that begin with a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _contents(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...], Any]]:
    return {
        name: (
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            tensor.flatten().view(torch.uint8).numpy().data,
        )
        for name, tensor in tensors.items()
    }
