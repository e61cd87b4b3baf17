"""What is wrong with an op's arguments, in the words of its caller."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOATING = (torch.float32, torch.float64)


def check_alike(**tensors: Tensor) -> None:
    """Raise TypeError unless all are float32 or all float64, ValueError unless all are on one device."""
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if tensor.dtype not in _FLOATING:
            raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype}")
        if tensor.dtype != first.dtype:
            raise TypeError(f"{name} is {tensor.dtype}, but {first_name} is {first.dtype}")
        if tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device}, but {first_name} is on {first.device}")


def check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the tensor has the expected shape."""
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name} must have shape {expected}, got {tuple(tensor.shape)}")
