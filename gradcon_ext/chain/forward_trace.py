"""Follows images through a model's forward, one torch function after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradcon_ext.chain.chain import LayerKind, NotAChain, Shape
from gradcon_ext.chain.layer_calls import (
    LayerCall,
    StateNames,
    is_layer,
    is_query,
    is_reshape,
    is_unchanged,
    layer_call,
    name_of,
)


@dataclass(frozen=True, eq=False)
class TracedLayer:
    """A layer: what it computes, and what it reads, None for the images."""

    call: LayerCall
    input: TracedLayer | None

    @property
    def shape(self) -> Shape:
        """Shape of a sample of what it makes, with ones for axes that it lacks."""
        return _shape_of(self.call.size)


@dataclass(frozen=True)
class _Traced:
    """A tensor that was made of the images. It is kept, so that no other takes its id."""

    tensor: Tensor
    version: int
    step: TracedLayer | None


class ForwardTrace(TorchFunctionMode):
    """Notes which layer made which tensor.

    Args:
        images: (N, C, H, W) with an N that is no size in the model, on the device "meta".
        names: of the model's tensors.
    """

    def __init__(self, images: Tensor, names: StateNames) -> None:
        super().__init__()
        self._images = images
        self._names = names
        self._autocast = _autocast()
        self._traced: dict[int, _Traced] = {}
        self._keep(images, None)

    def run(self, model: nn.Module) -> Any:
        """Return the model's output for the images.

        Raises:
            NotAChain: a call is no layer, or the forward raises an error.
        """
        try:
            with self:
                output = model(self._images)
        except NotAChain:
            raise
        except Exception as error:  # A forward may raise anything.
            reason = str(error).partition("\n")[0]
            raise NotAChain(f"its forward cannot be traced: {type(error).__name__}: {reason}") from error
        if self._images._version != 0:
            raise NotAChain("it changes the images in place")
        return output

    def steps_to(self, tensor: Tensor, what: str) -> list[TracedLayer]:
        """Return the steps from the images to a tensor.

        Raises:
            NotAChain: the tensor was made in another way.
        """
        steps = []
        step = self._step_of(tensor, what)
        while step is not None:
            steps.append(step)
            step = step.input
        return steps[::-1]

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function, or pretend to, and note what it made of what is followed."""
        kwargs = kwargs or {}
        self._check_others(func, args, kwargs)
        if not any(id(argument) in self._traced for argument in _flat((*args, *kwargs.values()))):
            return self._aside(func, args, kwargs)
        self._check_precision()
        input: Any = args[0] if args else kwargs.get("input")
        call = layer_call(func, args, kwargs, self._names)
        if call is not None:
            return self._layer(call, input)
        result = func(*args, **kwargs)
        if is_query(func):
            return result
        if is_unchanged(func, args, kwargs):
            self._follow(result, self._step_of(input, name_of(func)))
        elif is_reshape(func):
            call = LayerCall(LayerKind.RESHAPE, tuple(result.shape))
            step = self._step_of(input, name_of(func))
            same = self._is_batch(result) and _shape_of(input.shape) == _shape_of(result.shape)
            self._follow(result, step if same else TracedLayer(call, step))
        else:
            raise NotAChain(f"{name_of(func)} is no layer that the fused engine has")
        return result

    def _aside(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Call a function that is not given what is followed. It may look at the model's own tensors, no more."""
        own = [name for name in map(self._names.name_of, _flat((*args, *kwargs.values()))) if name is not None]
        if own and not is_query(func) and not is_layer(func):
            raise NotAChain(f"its forward calls {name_of(func)} on {own[0]}: a weight or bias is computed or changed")
        return func(*args, **kwargs)

    def _check_others(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> None:
        """Refuse other tensors, such as attributes and globals: none is in a chain, but their numbers may be read."""
        for value in _flat((*args, *kwargs.values())):
            known = id(value) in self._traced or self._names.name_of(value) is not None
            if isinstance(value, Tensor) and not known and not is_query(func):
                raise NotAChain(
                    f"its forward gives {name_of(func)} a tensor {tuple(value.shape)} that is neither of the images "
                    "nor a parameter or buffer"
                )

    def _check_precision(self) -> None:
        if self._autocast != _autocast():
            raise NotAChain("a part of its forward runs under torch.autocast")

    def _layer(self, call: LayerCall, input: Any) -> Tensor:
        """Make the output of a layer. To call it would load half of torch's compiler, for a shape."""
        step = TracedLayer(call, self._step_of(input, call.kind.name.lower()))
        result: Tensor = input if call.in_place else input.new_empty(call.size)
        if call.in_place:
            torch.autograd.graph.increment_version(result)
        self._follow(result, step)
        return result

    def _follow(self, tensor: Tensor, step: TracedLayer | None) -> None:
        # The forward of a custom autograd function runs without gradients, and its backward may be anything.
        if not torch.is_grad_enabled():
            raise NotAChain("a part of its forward runs without gradients, or has a backward of its own")
        if not self._is_batch(tensor):
            raise NotAChain(f"of images {tuple(self._images.shape)} it makes a tensor {tuple(tensor.shape)}")
        if tensor.dtype != self._images.dtype:
            raise NotAChain(f"it computes in {tensor.dtype} as well as in {self._images.dtype}")
        self._keep(tensor, step)

    def _is_batch(self, tensor: Tensor) -> bool:
        """Whether a tensor has all samples in its first dimension, and something of each."""
        return tensor.shape[:1] == self._images.shape[:1] and 2 <= tensor.dim() <= 4

    def _keep(self, tensor: Tensor, step: TracedLayer | None) -> None:
        self._traced[id(tensor)] = _Traced(tensor, tensor._version, step)

    def _step_of(self, tensor: Any, what: str) -> TracedLayer | None:
        """The step that made a tensor, None for the images."""
        traced = self._traced.get(id(tensor))
        if traced is None:
            raise NotAChain(f"{what} is not computed from the images by layers alone")
        if traced.version != tensor._version:
            raise NotAChain(f"{what} is computed from a tensor that was changed in place")
        return traced.step


def _shape_of(size: Sequence[int]) -> Shape:
    """The shape of a sample in a batch, with ones for the axes that it lacks."""
    channels, rows, columns = (*size[1:], 1, 1)[:3]
    return channels, rows, columns


def _autocast() -> list[bool]:
    return [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")]


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    """The arguments, and the items of those that are lists."""
    for argument in arguments:
        yield argument
        if isinstance(argument, list | tuple):
            yield from argument
