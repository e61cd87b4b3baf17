"""The modes of torch that a verification runs in, whatever those of the caller are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._device import DeviceContext


def has_modes() -> bool:
    """Whether a mode of torch sees or replaces functions, but for that which sets the default device."""
    modes = [torch._C._get_function_stack_at(place) for place in range(torch._C._len_torch_function_stack())]
    return torch._C._len_torch_dispatch_stack() > 0 or any(not isinstance(mode, DeviceContext) for mode in modes)


@contextmanager
def differentiable(device: torch.device) -> Iterator[None]:
    """Let automatic differentiation work, and in the precision of the tensors, as the fused engine does."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield
