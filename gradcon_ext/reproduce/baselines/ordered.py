"""Layers whose outputs depend only on inputs that come earlier in an order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


def order_mask(inputs: Tensor, outputs: Tensor, strict: bool) -> Tensor:
    """Say which inputs an output may depend on.

    Args:
        inputs: the place of each input in the order, (I,).
        outputs: the place of each output, (O,).
        strict: whether an output depends on earlier places alone, and not on its own: masks A and B of van den Oord et
            al. (2016, "Pixel recurrent neural networks", section 3.4).

    Returns:
        Weights of 1 and 0, (O, I).
    """
    allowed = outputs[:, None] > inputs if strict else outputs[:, None] >= inputs
    return allowed.float()


class OrderedLinear(nn.Linear):
    """A linear layer with a mask; its arguments are those of `order_mask`."""

    mask: Tensor

    def __init__(self, inputs: Tensor, outputs: Tensor, strict: bool = False) -> None:
        super().__init__(len(inputs), len(outputs))
        self.register_buffer("mask", order_mask(inputs, outputs, strict), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, I) to (N, O)."""
        return linear(features, self.weight * self.mask, self.bias)


class OrderedConv2d(nn.Conv2d):
    """A convolution without padding whose mask is that of the kernel's last pixel; the others come earlier anyway.

    Args:
        inputs: the place of each input channel in the order.
        outputs: the place of each output channel.
        kernel: (height, width).
        strict: see `order_mask`.
    """

    mask: Tensor

    def __init__(self, inputs: Tensor, outputs: Tensor, kernel: tuple[int, int], strict: bool = False) -> None:
        super().__init__(len(inputs), len(outputs), kernel)
        mask = torch.ones_like(self.weight)
        mask[:, :, -1, -1] = order_mask(inputs, outputs, strict)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, I, H, W) to (N, O, H', W')."""
        return conv2d(features, self.weight * self.mask, self.bias)
