"""Which layer of a chain a call of a torch function is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gradcon_ext.chain.chain import LayerKind, NotAChain, Pair, Source


@dataclass(frozen=True)
class LayerCall:
    """What a call computes; the settings are those of `gradcon_ext.chain.chain.Layer`.

    Attributes:
        kind: what it computes.
        size: of the batch that it makes, (N, ...).
        parameters: weight and bias, or the weight alone, or none.
        in_place: whether it overwrites what it is given.
    """

    kind: LayerKind
    size: tuple[int, ...]
    parameters: tuple[Source, ...] = ()
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    constant: float = 0.0
    in_place: bool = False


class StateNames:
    """Finds the tensors that a call is given in the state dict that they come from."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        # By the first name where two share a tensor, as in `nn.Module.named_parameters`.
        self._names: dict[int, str] = {id(tensor): name for name, tensor in reversed(list(state.items()))}

    def sources_of(self, weight: Tensor, bias: Tensor | None) -> tuple[Source, ...]:
        """Return where a weight and its bias are."""
        tensors = [weight] if bias is None else [weight, bias]
        if any(id(tensor) not in self._names for tensor in tensors):
            raise NotAChain("a layer's weight or bias is computed, and no parameter of the model itself")
        return tuple(Source("tensor", self._names[id(tensor)]) for tensor in tensors)

    def name_of(self, value: Any) -> str | None:
        """Return the name of a tensor of the model, or None for anything else."""
        return self._names.get(id(value))

    def batch_norm(self, tensors: Mapping[str, Tensor | None]) -> str:
        """Return the name of the BatchNorm module whose tensors these are, by the module's names for them."""
        path = self._names.get(id(tensors["running_mean"]), "").removesuffix("running_mean")
        for name, tensor in tensors.items():
            if tensor is not None and self._names.get(id(tensor)) != path + name:
                raise NotAChain("the statistics and weights of batch_norm are not those of one BatchNorm module")
        return path.removesuffix(".")


def layer_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], names: StateNames
) -> LayerCall | None:
    """Return the layer that a call is, or None for a function that is none.

    Raises:
        NotAChain: the call has settings that the layer lacks, or arguments that do not fit each other.
    """
    return _LAYERS[function](names, *args, **kwargs) if is_layer(function) else None


def is_layer(function: Callable[..., Any]) -> bool:
    """Whether `layer_call` knows a function."""
    return function in _LAYERS


def is_query(function: Callable[..., Any]) -> bool:
    """Whether a function only tells something of a tensor, such as its shape."""
    return function in _QUERIES


def is_reshape(function: Callable[..., Any]) -> bool:
    """Whether a function returns the numbers that it is given in another shape, in the same order."""
    return function in _RESHAPES


def is_unchanged(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call returns what it is given, but for the dtype or the layout in memory."""
    if function in _DROPOUTS:
        return not _dropout_is_active(*args, **kwargs)
    return function in _UNCHANGED


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a torch function, method or attribute."""
    name: str = getattr(function, "__name__", str(function))
    return getattr(function, "__self__", function).__name__ if name == "__get__" else name


def _convolution(
    names: StateNames,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> LayerCall:
    _check_input(input, 4, groups * weight.shape[1], "conv2d")
    strides, dilations = _pair(stride), _pair(dilation)
    if isinstance(padding, str):
        padding = _symmetric_padding(padding, weight, dilations)
    paddings = _pair(padding)
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, s, p, d, k in zip(input.shape[2:], strides, paddings, dilations, weight.shape[2:], strict=True)
    ]
    size = (len(input), len(weight), *sizes)
    sources = names.sources_of(weight, bias)
    return LayerCall(LayerKind.CONV, size, sources, strides, paddings, dilations, groups)


def _transposed_convolution(
    names: StateNames,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> LayerCall:
    _check_input(input, 4, weight.shape[0], "conv_transpose2d")
    strides, paddings, dilations = _pair(stride), _pair(padding), _pair(dilation)
    sizes = [
        (size - 1) * s - 2 * p + d * (k - 1) + 1 + extra
        for size, s, p, d, k, extra in zip(
            input.shape[2:], strides, paddings, dilations, weight.shape[2:], _pair(output_padding), strict=True
        )
    ]
    size = (len(input), groups * weight.shape[1], *sizes)
    sources = names.sources_of(weight, bias)
    return LayerCall(LayerKind.CONV_TRANSPOSED, size, sources, strides, paddings, dilations, groups)


def _linear(names: StateNames, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> LayerCall:
    _check_input(input, 2, weight.shape[1], "linear")
    return LayerCall(LayerKind.LINEAR, (len(input), len(weight)), names.sources_of(weight, bias))


def _batch_norm(
    names: StateNames,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> LayerCall:
    if training or running_mean is None or running_var is None:
        raise NotAChain("batch_norm normalises over the batch, without running statistics")
    _check_input(input, input.dim(), len(running_mean), "batch_norm")
    tensors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    name = names.batch_norm(tensors)
    return LayerCall(LayerKind.AFFINE, tuple(input.shape), (Source("scale", name, eps), Source("shift", name, eps)))


def _interpolation(
    names: StateNames, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **settings: Any
) -> LayerCall:
    _check_input(input, 4, input.shape[1], "interpolate")
    # Which pixel is the nearest depends on the rounding of the scale, so it is looked at and not derived.
    positions = torch.arange(input.shape[2:].numel(), dtype=torch.float64).view(1, 1, *input.shape[2:])
    chosen = functional.interpolate(positions, size, scale_factor, mode, **settings)
    for axis in (2, 3):
        positions = positions.repeat_interleave(max(1, chosen.shape[axis] // positions.shape[axis]), axis)
    if mode not in ("nearest", "nearest-exact") or not torch.equal(chosen, positions):
        raise NotAChain("interpolate does something else than repeating each pixel a whole number of times")
    return LayerCall(LayerKind.UPSAMPLE, (*input.shape[:2], *chosen.shape[2:]))


def _activation(kind: LayerKind, input: Tensor, constant: float = 0.0, in_place: bool = False) -> LayerCall:
    if constant < 0:
        raise NotAChain(f"{kind.name.lower()} has a negative constant, {constant}")
    return LayerCall(kind, tuple(input.shape), constant=float(constant), in_place=in_place)


def _relu(names: StateNames, input: Tensor, inplace: bool = False) -> LayerCall:
    return _activation(LayerKind.RELU, input, in_place=inplace)


def _leaky_relu(names: StateNames, input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> LayerCall:
    return _activation(LayerKind.LEAKY_RELU, input, negative_slope, inplace)


def _elu(names: StateNames, input: Tensor, alpha: float = 1.0, inplace: bool = False) -> LayerCall:
    return _activation(LayerKind.ELU, input, alpha, inplace)


def _gelu(names: StateNames, input: Tensor, approximate: str = "none") -> LayerCall:
    return _activation(LayerKind.GELU if approximate == "none" else LayerKind.GELU_TANH, input)


def _sigmoid(names: StateNames, input: Tensor) -> LayerCall:
    return _activation(LayerKind.SIGMOID, input)


def _tanh(names: StateNames, input: Tensor) -> LayerCall:
    return _activation(LayerKind.TANH, input)


def _dropout_is_active(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> bool:
    return training


def _check_input(input: Tensor, dimensions: int, channels: int, what: str) -> None:
    if input.dim() != dimensions or input.shape[1] != channels:
        expected = "N, C, H, W"[: 3 * dimensions - 2].replace("C", str(channels))
        raise NotAChain(f"{what} is given a tensor {tuple(input.shape)}; expected ({expected})")


def _symmetric_padding(padding: str, weight: Tensor, dilation: Pair) -> list[int]:
    if padding == "valid":
        return [0, 0]
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(total % 2 for total in totals):
        raise NotAChain("padding='same' pads more on one side than on the other there")
    return [total // 2 for total in totals]


def _pair(value: Any) -> Pair:
    values = [value] if isinstance(value, int) else list(value)
    rows, columns = values * 2 if len(values) == 1 else values
    return int(rows), int(columns)


# Not the device, the strides or the layout: a trace has others than the images will have.
_QUERIES = frozenset(
    (
        *(
            Tensor.size,
            Tensor.dim,
            Tensor.numel,
            Tensor.__len__,
            Tensor.ndimension,
        ),
        *(Tensor.is_floating_point, torch.is_floating_point, torch.is_tensor, torch.numel, Tensor.element_size),
        *(Tensor.nelement, Tensor.is_complex, torch.is_complex),
        *(vars(torch._C.TensorBase)[name].__get__ for name in ("shape", "dtype", "ndim", "itemsize")),
    )
)
_UNCHANGED = frozenset((Tensor.contiguous, Tensor.clone, torch.clone, Tensor.to, Tensor.float, Tensor.double))
_DROPOUTS = frozenset(
    (
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
    )
)
_RESHAPES = frozenset(
    (
        *(torch.flatten, torch.reshape, torch.unflatten, torch.squeeze, torch.unsqueeze),
        *(Tensor.flatten, Tensor.reshape, Tensor.unflatten, Tensor.squeeze, Tensor.unsqueeze, Tensor.view),
    )
)
_LAYERS: dict[Callable[..., Any], Callable[..., LayerCall]] = {
    functional.conv2d: _convolution,
    functional.conv_transpose2d: _transposed_convolution,
    functional.linear: _linear,
    functional.batch_norm: _batch_norm,
    functional.interpolate: _interpolation,
    **dict.fromkeys((functional.relu, torch.relu, Tensor.relu), _relu),
    functional.leaky_relu: _leaky_relu,
    functional.elu: _elu,
    functional.gelu: _gelu,
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid), _sigmoid),
    **dict.fromkeys((torch.tanh, Tensor.tanh), _tanh),
}
