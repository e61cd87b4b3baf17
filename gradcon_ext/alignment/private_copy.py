"""A private copy of a model, so that a pass changes nothing that another thread sees."""

from __future__ import annotations

import copy
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.ownership import is_generator

ATOMS = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes, type, type(Ellipsis), type(NotImplemented)),
        *(torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format),
        *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
    )
)
"""Types whose values a copy shares with the original."""


class CopyError(Exception):
    """Why a model has no private copy."""


@dataclass(frozen=True)
class PrivateCopy:
    """A copy of a model: other modules and buffers, but no other memory for parameters.

    Attributes:
        module: the copy.
        parameters: what it has for the parameters of the model, by name.
    """

    module: nn.Module
    parameters: dict[str, Tensor]

    @property
    def state(self) -> dict[str, Tensor]:
        """Its parameters and buffers by name."""
        return {**self.parameters, **dict(self.module.named_buffers())}


def frozen_copy(model: nn.Module, *, numbers: bool = False) -> PrivateCopy:
    """Copy a model; none of the copy's parameters requires a gradient.

    Args:
        model: is not changed.
        numbers: whether the copy has its own memory for parameters too.

    Raises:
        CopyError: the model cannot be copied.
    """
    return _copied(model, _own if numbers else detached)


def trainable_copy(model: nn.Module, *, numbers: bool = False) -> PrivateCopy:
    """Copy a model; all of the copy's parameters require gradients.

    They are those of the model itself, as far as those require gradients, so that a gradient also counts what is
    computed with them behind the copy's back.

    Args:
        model: is not changed.
        numbers: whether the copy has its own parameters and memory for them instead.

    Raises:
        CopyError: the model cannot be copied.
    """

    def trainable(tensor: Tensor) -> Tensor:
        if tensor.requires_grad and not tensor.is_inference() and not numbers:
            return tensor
        frozen = _own(tensor) if numbers else detached(tensor)
        if not (frozen.is_floating_point() or frozen.is_complex()):
            return frozen
        leaf = frozen.requires_grad_()
        for change in (tensor._backward_hooks or {}).values():
            leaf.register_hook(change)  # type: ignore[no-untyped-call]
        return leaf

    return _copied(model, trainable)


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def detached(tensor: Tensor) -> Tensor:
    """Return the tensor without a graph, in a form that a graph can be built on."""
    # An inference tensor cannot be saved for a backward pass, not even detached; its copy can.
    return tensor.clone().detach() if tensor.is_inference() else tensor.detach()


def _copied(model: nn.Module, parameter_of: Callable[[Tensor], Tensor]) -> PrivateCopy:
    copier = _Copier(parameter_of)
    try:
        parameters = {name: copier.parameter(parameter) for name, parameter in model.named_parameters()}
        return PrivateCopy(copier.module(model), parameters)
    except CopyError:
        raise
    except Exception as error:  # A module may hold anything.
        raise CopyError(f"{type(model).__name__} cannot be copied: {error}") from error


class _Copier:
    """Copies modules, and what they hold, each once; a fifth of the time that `copy.deepcopy` takes."""

    def __init__(self, parameter_of: Callable[[Tensor], Tensor]) -> None:
        self._parameter_of = parameter_of
        # In the form that `copy.deepcopy` has, which keeps alive what it copies.
        self._memo: dict[int, Any] = {}
        self._alive: list[object] = []
        self._slots: dict[type, list[str]] = {}

    def module(self, original: nn.Module) -> Any:
        if id(original) in self._memo:
            return self._memo[id(original)]
        if isinstance(original, torch.jit.ScriptModule):
            raise CopyError(f"{type(original).__name__} is compiled and cannot be copied")
        copied = object.__new__(type(original))
        self._remember(original, copied)
        held = copied.__dict__
        for name, value in vars(original).items():
            kind = type(value)
            if kind in ATOMS:
                held[name] = value
            elif (kind is dict or kind is OrderedDict or kind is set) and not value:  # as most dicts of hooks are
                held[name] = kind()
            else:
                held[name] = self.value(value)
        for name in self._slots_of(type(original)):
            if hasattr(original, name):
                object.__setattr__(copied, name, self.value(getattr(original, name)))
        # What it was compiled to is bound to the original.
        held["_compiled_call_impl"] = None
        if "_orig_mod" in original._modules:  # as torch.compile wraps a module
            held["forward"] = held["_modules"]["_orig_mod"]
        return copied

    def parameter(self, original: Tensor) -> Tensor:
        return self._once(original, self._parameter_of)

    def value(self, original: Any) -> Any:
        kind = type(original)
        if kind in ATOMS:
            return original
        if isinstance(original, Tensor):
            return self._tensor(original)
        if kind is tuple:
            return tuple([self.value(item) for item in original])
        if id(original) in self._memo:
            return self._memo[id(original)]
        if kind is dict or kind is OrderedDict:
            return self._mapping(original)
        if kind is list or kind is set:
            return self._remember(original, kind([self.value(item) for item in original]))
        if isinstance(original, nn.Module):
            return self.module(original)
        if kind is types.MethodType:
            return types.MethodType(original.__func__, self.value(original.__self__))
        if kind is functools.partial:
            arguments = (self.value(argument) for argument in original.args)
            return functools.partial(self.value(original.func), *arguments, **self.value(original.keywords))
        return self._anything(original)

    def _slots_of(self, kind: type) -> list[str]:
        if kind not in self._slots:
            self._slots[kind] = [name for base in kind.__mro__ for name in _own_slots_of(base)]
        return self._slots[kind]

    def _mapping(self, original: Mapping[Any, Any]) -> Any:
        copied: Any = self._remember(original, type(original)())
        for key, item in original.items():
            copied[self.module(key) if isinstance(key, nn.Module) else key] = self.value(item)
        return copied

    def _tensor(self, original: Tensor) -> Tensor:
        if isinstance(original, nn.Parameter):
            return self.parameter(original)
        if original.requires_grad:  # Its graph begins at parameters of the original.
            return original
        return self._once(original, Tensor.clone)

    def _anything(self, original: Any) -> Any:
        if is_generator(original):  # A copy would draw the same numbers at each call.
            return original
        try:
            return copy.deepcopy(original, self._memo)
        except Exception:  # What cannot be copied, such as a lock or a file, is shared.
            return original

    def _once(self, original: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        if id(original) not in self._memo:
            copied = self._remember(original, make(original))
            if copied is not original:
                vars(copied).update(vars(original))  # what a model has noted on it
        tensor: Tensor = self._memo[id(original)]
        return tensor

    def _remember(self, original: object, copied: Any) -> Any:
        self._memo[id(original)] = copied
        self._alive.append(original)
        return copied


def _own_slots_of(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))
