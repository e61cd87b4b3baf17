"""Memory that one pass or training step frees, kept for the next one."""

from __future__ import annotations

import importlib
from functools import cache

import torch

_MEBIBYTE = 1 << 20
_HEADER = 1 << 13
"""More than the C library puts around a block."""


@cache
def keep_freed_memory() -> None:
    """Let the C library of Linux keep what is freed, where the system would clear every page of it again.

    For a program that scores or trains again and again on the CPU, and does little else. The command line and the
    worker processes of `train_many` call it; no other part of this package does.

    It gives memory back once the free end of its heap is twice as large as the largest block that was freed so far,
    where blocks over 32 MiB do not count (mallopt(3), M_MMAP_THRESHOLD). This one is hardly smaller, so that 64 MiB
    are kept, in the whole process and for good. Its pages are not touched, unless torch fills new memory, as its
    deterministic algorithms do. Settings of the environment (MALLOC_..., GLIBC_TUNABLES) and other C libraries come
    first, and a GPU's memory is kept by torch.

    What the fused engines compute in is kept too, the last of it, whatever its size: a training step on large images
    takes hundreds of MiB. Without this call that is so up to 64 MiB.

    It cannot be taken back; to call it again does nothing.
    """
    importlib.import_module("gradcon_ext._C").keep_memory()
    torch.empty(32 * _MEBIBYTE - _HEADER, dtype=torch.uint8, device="cpu")
