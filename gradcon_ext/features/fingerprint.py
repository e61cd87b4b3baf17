"""Tells a network's weights from any others."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import nn


def fingerprint(network: nn.Module) -> str:
    """Return a digest of all names, dtypes, shapes and values in a module's state dict, 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
