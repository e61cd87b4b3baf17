"""What the ops on a whole autoencoder are given; the compiled program checks the layers themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.chain.chain import LAYER_FIELDS, EncodedChain


def check_chain_arguments(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    chain: EncodedChain,
) -> None:
    """Check the arguments that `score_autoencoder` and `objective_gradient` share; see there for their meaning.

    Raises:
        TypeError: something else than a tensor, or tensors of other dtypes.
        ValueError: no parameters or no references, different devices, images of another shape, or a program of
            another length.
    """
    _check_tensors(images, parameters, references)
    if images.dim() != 4:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    if not isinstance(chain, EncodedChain):
        raise TypeError(f"chain must be an EncodedChain, got {type(chain).__name__}")
    fields, layers = len(LAYER_FIELDS), len(chain.constants)
    if len(chain.program) != fields * layers:
        raise ValueError(
            f"program must have {fields} integers for each of {layers} constants, got {len(chain.program)}"
        )


def _check_tensors(images: Tensor, parameters: Sequence[Tensor], references: Sequence[Tensor]) -> None:
    for what, tensors in (("parameters", parameters), ("references", references)):
        if not tensors:
            raise ValueError(f"{what} must not be empty")
    tensors = (images, *parameters, *references)

    def name(position: int) -> str:
        if position == 0:
            return "images"
        index = position - 1 - len(parameters)
        return f"references[{index}]" if index >= 0 else f"parameters[{position - 1}]"

    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name(position)} must be a tensor, got {type(tensor).__name__}")
    dtype, device = parameters[0].dtype, parameters[0].device
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"parameters must be float32 or float64, got {dtype}")
    for position, tensor in enumerate(tensors):
        if tensor.dtype != dtype and not (tensor is images and tensor.dtype == torch.uint8):
            raise TypeError(f"{name(position)} is {tensor.dtype}, but parameters[0] is {dtype}")
        if tensor.device != device:
            raise ValueError(f"{name(position)} is on {tensor.device}, but parameters[0] is on {device}")


def detached(tensor: Tensor) -> Tensor:
    """Return the tensor without a graph; itself where it has none, since some twenty views cost a single image dear."""
    return tensor.detach() if tensor.requires_grad else tensor
