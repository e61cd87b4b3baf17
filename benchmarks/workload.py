"""What is measured: the paper's autoencoder with random references, random images in memory, and its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gradcon_ext.models import ConvAutoencoder


@dataclass
class Workload:
    """A model, the references of its decoder's weights, and images."""

    model: ConvAutoencoder
    references: dict[str, Tensor]
    images: Tensor


def autoencoder(
    channels: int = 3,
    size: int = 28,
    width: int = 32,
    samples: int = 512,
    layout: torch.memory_format = torch.contiguous_format,
) -> Workload:
    """Build the paper's convolutional autoencoder; by default for 3x28x28 images, 512 of them.

    Args:
        channels: of the images.
        size: of the images, in pixels.
        width: channels of the first layer.
        samples: how many images.
        layout: of weights and images in memory; the references stay as they are.
    """
    torch.manual_seed(0)
    model = ConvAutoencoder(channels, size, width).eval()
    references = {
        name: torch.randn_like(weight)
        for name, weight in model.named_parameters()
        if name.startswith("decoder") and name.endswith("weight")
    }
    images = torch.rand(samples, channels, size, size).to(memory_format=layout)
    return Workload(model.to(memory_format=layout), references, images)


def multiply_adds(workload: Workload, *, clipped: bool) -> int:
    """Count those of one score from the shapes of its layers.

    They are the forward pass of all layers, the weight gradients of the constrained ones, and the input gradients of
    all of those but the first.

    Args:
        workload: the model, and images of the size in question.
        clipped: whether to leave out the taps that meet no pixel, at the borders.
    """
    counts: dict[str, int] = {}

    def count(name: str, layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        walked, strided = (arguments[0], output) if transposed else (output, arguments[0])
        taps = layer.kernel_size[0] * layer.kernel_size[1]
        met = meetings(layer, walked, strided) if clipped else walked.shape[2:].numel() * taps
        counts[f"{name}.weight"] = layer.weight.numel() // taps * met

    layers = [item for item in workload.model.named_modules() if isinstance(item[1], nn.Conv2d | nn.ConvTranspose2d)]
    handles = [layer.register_forward_hook(partial(count, name)) for name, layer in layers]
    with torch.no_grad():
        workload.model(workload.images[:1])
    for handle in handles:
        handle.remove()
    constrained = [counts[name] for name in workload.references]
    return sum(counts.values()) + sum(constrained) + sum(constrained[1:])


def meetings(layer: nn.Module, walked: Tensor, strided: Tensor) -> int:
    """How often a tap of a convolution meets a pixel: multiplying with the zeros of a padding is no work done.

    Args:
        layer: a convolution or transposed convolution.
        walked: the one of input and output (N, C, H, W) that is gone through pixel by pixel.
        strided: the other, gone through in strides.
    """
    met = 1
    for axis in range(2):
        positions = (
            step * layer.stride[axis] - layer.padding[axis] + tap * layer.dilation[axis]
            for step in range(walked.shape[2 + axis])
            for tap in range(layer.kernel_size[axis])
        )
        met *= sum(0 <= position < strided.shape[2 + axis] for position in positions)
    return met
