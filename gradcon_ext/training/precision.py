"""Mixed precision: a forward pass in bfloat16, and all else in the precision of the weights."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
"""What a model's layers compute in: the precision of the weights ("float32"), or bfloat16 where that is safe."""


def run_in(precision: Precision, model: nn.Module, images: Tensor) -> Any:
    """Run a model, and return its output in the dtype of the images: losses are computed in full precision.

    Gradients of the weights have the dtype of the weights, as autocast casts copies of them.

    Args:
        precision: "bfloat16" runs the model under `torch.autocast`.
        model: any module; its float32 weights stay float32.
        images: (N, C, H, W).
    """
    if precision == "float32":
        return model(images)
    # Without the cache, which a weight that is used once has no use for, and which must not outlive a CUDA graph.
    with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
        output = model(images)
    return _like(images, output)


def _like(images: Tensor, output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.to(images.dtype)
    if isinstance(output, tuple) and hasattr(output, "_make"):  # a named tuple, such as VariationalOutput
        return output._make(_like(images, part) for part in output)
    return output
