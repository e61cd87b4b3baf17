"""How much memory this process holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def resident_bytes() -> int:
    """What the operating system counts."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call: Callable[[], object], times: int) -> int:
    """Bytes that so many calls leave behind: the least of three rounds, since an allocator may keep some in one."""
    for _ in range(times // 4):
        call()
    rounds = []
    for _ in range(3):
        before = resident_bytes()
        for _ in range(times):
            call()
        rounds.append(resident_bytes() - before)
    return min(rounds)


def peak(call: Callable[[], object]) -> int:
    """Bytes that a call takes beyond what the process held before it."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes()
    call()
    status = Path("/proc/self/status").read_text()
    high_water = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(high_water) * 1024 - before
