"""Random numbers that depend on a seed alone, and leave those of the caller alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(device: torch.device, seed: int, *more: int) -> Iterator[None]:
    """Seed torch's global generators (of the CPU, and of a CUDA device in use) for the length of a block.

    Seeding every epoch anew, by seed and epoch, lets an interrupted run go on without the generators' states.

    Args:
        device: that the block computes on.
        seed: not negative.
        more: further numbers, not negative, that tell this block from others of the same seed.
    """
    mixed = int(np.random.SeedSequence((seed, *more)).generate_state(1)[0])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(mixed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(mixed)
        yield
