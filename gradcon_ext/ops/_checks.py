"""What is wrong with an op's arguments, in the words of its caller."""

from __future__ import annotations

import torch
from torch import Tensor

_COMPUTED_IN = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


def check_alike(**tensors: Tensor) -> None:
    """Raise TypeError unless all are computed in one dtype, ValueError unless all are on one device."""
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if tensor.dtype not in _COMPUTED_IN:
            raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {tensor.dtype}")
        if _COMPUTED_IN[tensor.dtype] != _COMPUTED_IN[first.dtype]:
            raise TypeError(f"{name} is {tensor.dtype}, but {first_name} is {first.dtype}")
        if tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device}, but {first_name} is on {first.device}")


def check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the tensor has the expected shape."""
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name} must have shape {expected}, got {tuple(tensor.shape)}")


def of_one_type(input: Tensor, grad_output: Tensor) -> tuple[Tensor, Tensor]:
    """Detach both and promote them to one dtype; autocast leaves float32 inputs beside half-precision gradients."""
    dtype = torch.promote_types(input.dtype, grad_output.dtype)
    return input.detach().to(dtype), grad_output.detach().to(dtype)


def as_references(reference: Tensor, dim: int) -> Tensor:
    """Detach one reference of `dim` dimensions, or several, as (K, *weight) in the dtype of computation."""
    several = reference[None] if reference.dim() == dim else reference
    return several.detach().to(_COMPUTED_IN[reference.dtype])


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """Tell the dtype of sums and results: float64 for float64, and else float32."""
    return _COMPUTED_IN[dtype]
