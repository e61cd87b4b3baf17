"""Where proofs are kept: with the structure of the model and of the batch that they are about."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.chain.functions import contents_of
from gradcon_ext.chain.holding import PLAIN

_Fact = TypeVar("_Fact")
_MOST_FACTS = 64
"""Kept for a structure of a model: one for each size of batch, loss and choice of parameters."""
_MOST_MODELS = 16
"""Those of a model go with it; but one that refers to itself lives until so many others have come."""
_DEPTH = 4
"""How far the closure of a loss is followed."""


@dataclass(frozen=True)
class Proof:
    """What verification found out about a structure of model and batch.

    Attributes:
        obstacles: why parameters have no route of their own, by name.
        as_it_is: why nothing can be captured, so that every sample is differentiated by itself.
        one_by_one: why the fallback cannot use vmap.
        changes: a parameter that the forward changes in place, if any.
    """

    obstacles: dict[str, str] = field(default_factory=dict)
    as_it_is: str | None = None
    one_by_one: str | None = None
    changes: str | None = None


class Known(Generic[_Fact]):
    """Facts about a model and a loss, by case, such as a shape of batch."""

    def __init__(self, of_model: Fingerprint) -> None:
        self._of_model = of_model
        self._facts: dict[Hashable, tuple[_Fact, Fingerprint, object]] = {}

    def find(self, case: Hashable, loss: Callable[..., Any]) -> _Fact | None:
        """Return what is known of a case, for a loss that still is what it was."""
        fact, of_loss, _ = self._facts.get((case, _described(loss, _DEPTH)), (None, None, None))
        return fact if of_loss is not None and of_loss.is_current() else None

    def keep(self, case: Hashable, loss: Callable[..., Any], fact: _Fact) -> None:
        """Keep what is known of a case, unless code may read what cannot be compared with what it was."""
        of_loss = Fingerprint(loss)
        if self._of_model.unseen or of_loss.unseen or not self._of_model.is_current():
            return
        if len(self._facts) >= _MOST_FACTS:
            self._facts.clear()
        # Kept alive, so that no other loss takes the ids that describe it. A module's fingerprint notices that it died.
        kept = None if isinstance(loss, nn.Module) else loss
        self._facts[case, _described(loss, _DEPTH)] = (fact, of_loss, kept)


class Proofs:
    """What is known of one model, as long as it stays what it is.

    Attributes:
        passes: what verification found out, by the shape of the batch.
        sizes: bytes that a pass takes for a sample, by its shape.
    """

    def __init__(self, model: nn.Module) -> None:
        self._fingerprint = Fingerprint(model)
        self.passes: Known[Proof] = Known(self._fingerprint)
        self.sizes: Known[int] = Known(self._fingerprint)

    @property
    def generators(self) -> list[Any]:
        """Generators of random numbers that code of the model may draw from."""
        return self._fingerprint.generators

    @property
    def by_identity(self) -> str | None:
        """What code of the model knows objects by that are others in a copy, if anything."""
        return self._fingerprint.by_identity

    def is_current(self) -> bool:
        """Whether the model still is what it was."""
        return self._fingerprint.is_current()


class _Models:
    """Proofs of models that are alive."""

    def __init__(self) -> None:
        self._proofs: dict[int, tuple[weakref.ref[nn.Module], Proofs]] = {}

    def proofs_of(self, model: nn.Module) -> Proofs:
        number = id(model)
        known, proofs = self._proofs.get(number, (None, None))
        if known is not None and known() is model and proofs is not None and proofs.is_current():
            return proofs
        proofs = Proofs(model)
        self._proofs.pop(number, None)  # that of the model as it was, in whose place no other has to go
        # Of a copy of the keys: other threads, and models that die meanwhile, change the dictionary.
        for oldest in list(self._proofs)[: 1 - _MOST_MODELS]:
            self._proofs.pop(oldest, None)
        self._proofs[number] = (weakref.ref(model, lambda _: self._proofs.pop(number, None)), proofs)
        return proofs


proofs_of = _Models().proofs_of
"""Return the proofs of a model as it is now."""


def described_tensor(tensor: Tensor) -> Hashable:
    """Describe a tensor but for its numbers."""
    hooks = tensor._backward_hooks
    of_hooks = tuple(map(id, hooks.values())) if hooks else None
    return type(tensor), tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, of_hooks


def surroundings(device: torch.device) -> Hashable:
    """Describe what else decides how a model is computed: autocast, and modes that watch or replace functions."""
    kind = device.type
    return (
        torch.is_autocast_enabled(kind),
        torch.get_autocast_dtype(kind),
        torch._C._len_torch_function_stack(),
        torch._C._len_torch_dispatch_stack(),
    )


def _described(value: Any, depth: int) -> Hashable:
    """A function by its code and what that reads, so that a lambda made anew is the same one; else by identity."""
    if isinstance(value, float | complex):
        return repr(value), type(value)  # 0.0 equals -0.0
    if isinstance(value, PLAIN):
        return value, type(value)
    if depth == 0:
        return id(value)
    if isinstance(value, types.FunctionType):
        named = {**(value.__kwdefaults__ or {}), **vars(value)}
        held = (*map(contents_of, value.__closure__ or ()), *(value.__defaults__ or ()), *named.values())
        # Equal code is not enough: that of two modules, or run in two namespaces, may name other globals.
        code = (id(value.__code__), id(value.__globals__), tuple(named))
        return code, *(_described(item, depth - 1) for item in held)
    if isinstance(value, types.MethodType):
        return _described(value.__func__, depth - 1), id(value.__self__)
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
        return tuple(value.keywords), *(_described(part, depth - 1) for part in parts)
    return id(value)
