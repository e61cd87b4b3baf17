"""The modes of torch that a verification runs in, whatever those of the caller are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def differentiable(device: torch.device) -> Iterator[None]:
    """Let automatic differentiation work, and in the precision of the tensors, as the fused engine does."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield
