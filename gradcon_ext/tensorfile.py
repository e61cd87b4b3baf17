"""Tensors and JSON facts in one safetensors file, written at once and checked when read. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gradcon_ext.files import replace_file
from gradcon_ext.header import METADATA_KEY, Content, checksum, facts_of, header_of, opened


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
    with opened(path, "pt") as file:
        header = header_of(path, file, kind, version)
        # Clones, since the tensors of a file are views of it.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    return tensors, facts_of(path, header, _contents(tensors))


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under names that begin with a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _contents(tensors: Mapping[str, Tensor]) -> Iterator[Content]:
    for name, tensor in tensors.items():
        yield name, str(tensor.dtype), tuple(tensor.shape), tensor.flatten().view(torch.uint8).numpy().data
