"""What a chain makes of an image, in numpy: slower than the compiled scorer, which keeps no reconstruction.

Only maps of where a score comes from need it where there is no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.chain.chain import CONVOLUTIONS, Chain
from gradcon_ext.chain.layer import Layer, LayerKind

Array = npt.NDArray[Any]

_erf = np.vectorize(math.erf)

_ACTIVATIONS: dict[LayerKind, Callable[[Array, float], Array]] = {
    LayerKind.RELU: lambda x, _: np.maximum(x, 0),
    LayerKind.LEAKY_RELU: lambda x, slope: np.where(x > 0, x, slope * x),
    LayerKind.ELU: lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    LayerKind.GELU: lambda x, _: x * (1 + _erf(x / math.sqrt(2)).astype(x.dtype)) / 2,
    LayerKind.GELU_TANH: lambda x, _: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    LayerKind.SIGMOID: lambda x, _: (1 + np.tanh(x / 2)) / 2,
    LayerKind.TANH: lambda x, _: np.tanh(x),
}


def residual_map(chain: Chain, parameters: Sequence[Array], image: Array) -> Array:
    """Return the squared error of a reconstruction at each pixel, the mean over channels, (H, W).

    It is `residual` of `gradcon_ext.Explanation`, without torch.

    Args:
        chain: the autoencoder.
        parameters: of its layers.
        image: (C, H, W), uint8 from 0 to 255 or floating point from 0 to 1.
    """
    pixels = image / np.asarray(255, parameters[0].dtype) if image.dtype == np.uint8 else image
    pixels = pixels.astype(parameters[0].dtype, copy=False)
    residual: Array = np.square(reconstruct(chain, parameters, pixels) - pixels).mean(0)
    return residual


def reconstruct(chain: Chain, parameters: Sequence[Array], pixels: Array) -> Array:
    """Return the reconstruction of one image (C, H, W), whose dtype is that of the parameters.

    Of a variational autoencoder it is that of the mean of the code, as in eval mode.
    """
    x = pixels
    for layer in chain.layers:
        x = _output(layer, parameters, x).astype(pixels.dtype, copy=False).reshape(layer.shape)
    return x


def _output(layer: Layer, parameters: Sequence[Array], x: Array) -> Array:
    if layer.kind in CONVOLUTIONS:
        convolve = _convolved if layer.kind == LayerKind.CONV else _transposed
        made = convolve(layer, parameters[layer.weight], x)
        return made if layer.bias < 0 else made + parameters[layer.bias][:, None, None]
    if layer.kind in (LayerKind.LINEAR, LayerKind.BOTTLENECK):  # of a bottleneck, the mean of the code comes first
        made = parameters[layer.weight] @ x.ravel()
        return made if layer.bias < 0 else made + parameters[layer.bias]
    if layer.kind == LayerKind.AFFINE:
        return x * parameters[layer.weight].reshape(-1, 1, 1) + parameters[layer.bias].reshape(-1, 1, 1)
    if layer.kind == LayerKind.UPSAMPLE:
        rows, columns = layer.shape[1] // x.shape[1], layer.shape[2] // x.shape[2]
        return x.repeat(rows, 1).repeat(columns, 2)
    return x if layer.kind == LayerKind.RESHAPE else _ACTIVATIONS[layer.kind](x, layer.constant)


def _convolved(layer: Layer, weight: Array, x: Array) -> Array:
    """Sum over taps: each is a product of matrices of channels, for all places at once."""
    channels, rows, columns = layer.shape
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
    padded = np.pad(x, ((0, 0), *((padding, padding) for padding in layer.padding)))
    padded = padded.reshape(layer.groups, -1, *padded.shape[1:])
    made = np.zeros((layer.groups, channels // layer.groups, rows * columns), x.dtype)
    for row, column in np.ndindex(*weight.shape[2:]):
        met = padded[:, :, _places(layer, 0, row, rows), _places(layer, 1, column, columns)]
        made += grouped[..., row, column] @ met.reshape(layer.groups, -1, rows * columns)
    return made.reshape(layer.shape)


def _transposed(layer: Layer, weight: Array, x: Array) -> Array:
    """The same with input and output exchanged: each tap adds to where it would have read."""
    channels, *size = layer.shape
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    inputs = x.reshape(layer.groups, -1, x.shape[1] * x.shape[2])
    reached = [
        max((count - 1) * stride + dilation * (taps - 1) + 1, padding + length)
        for count, stride, dilation, taps, padding, length in zip(
            x.shape[1:], layer.stride, layer.dilation, weight.shape[2:], layer.padding, size, strict=True
        )
    ]
    made = np.zeros((layer.groups, channels // layer.groups, *reached), x.dtype)
    for row, column in np.ndindex(*weight.shape[2:]):
        added = (grouped[..., row, column] @ inputs).reshape(*made.shape[:2], *x.shape[1:])
        made[:, :, _places(layer, 0, row, x.shape[1]), _places(layer, 1, column, x.shape[2])] += added
    top, left = layer.padding
    return made[:, :, top : top + size[0], left : left + size[1]].reshape(layer.shape)


def _places(layer: Layer, axis: int, tap: int, count: int) -> slice:
    """Where a tap meets the padded grid, as often as there are places on the other one."""
    first, stride = tap * layer.dilation[axis], layer.stride[axis]
    return slice(first, first + (count - 1) * stride + 1, stride)
