"""Memory that one pass or training step frees, kept for the next one."""

from __future__ import annotations

from functools import cache

import torch

_MEBIBYTE = 1 << 20
_HEADER = 1 << 13
"""More than the C library puts around a block."""


@cache
def keep_freed_memory(device: torch.device) -> None:
    """Let the C library of Linux keep up to 64 MiB of what is freed; the system would clear every page of it again.

    It keeps twice the largest block that was freed so far, where blocks over 32 MiB do not count (mallopt(3),
    M_MMAP_THRESHOLD). This one is hardly smaller, and is never touched, so that it costs nothing. Of other C libraries
    it changes nothing, and a GPU's memory is kept by torch.

    Args:
        device: on which the passes or steps run.
    """
    if device.type == "cpu":
        torch.empty(32 * _MEBIBYTE - _HEADER, dtype=torch.uint8, device=device)
