"""Whether a model still is what it was when it was looked at.

What a forward computes depends on the modules and their settings, on hooks, and on the functions, globals, classes and
modules that its Python code names. All of that is noted once and compared at each call, by identity, which takes
microseconds. The numbers in tensors are not looked at: they are read at each call anyway, and a forward whose Python
code reads them is no chain.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as module_globals

from gradcon_ext._install.identity import ANYTHING, Snapshot, same_items, same_members
from gradcon_ext.chain.looked_at import UNWATCHED, LookedAt

_OF_A_TENSOR = attrgetter("shape", "dtype", "device", "requires_grad", "__class__")
_OF_TORCH = (
    *("batch_norm", "bmm", "cat", "conv1d", "conv2d", "conv_transpose2d", "exp", "flatten", "layer_norm", "matmul"),
    *("mul", "relu", "reshape", "sigmoid", "softmax", "sqrt", "stack", "tanh", "where"),
)
_METHODS = attrgetter("forward", "__call__")


def has_global_hooks() -> bool:
    """Whether hooks are registered for all modules of the process."""
    return any(
        (
            module_globals._global_forward_hooks,
            module_globals._global_forward_pre_hooks,
            module_globals._global_backward_hooks,
            module_globals._global_backward_pre_hooks,
        )
    )


class Fingerprint:
    """The structure of models, and of whatever else a result depends on, at one time.

    Attributes:
        unseen: something that code may read and that cannot be compared, None where there is no such thing.
        by_identity: what code knows objects by that are others in a copy, None where there is no such thing.
        generators: of random numbers, that code may draw from.

    Args:
        parts: models, functions such as a loss, and objects of any kind. A model itself is not kept alive.
    """

    def __init__(self, *parts: Any) -> None:
        looked_at = LookedAt(parts)
        self.unseen = looked_at.unseen
        self.by_identity = looked_at.by_identity
        self.generators = looked_at.generators
        self._readers = looked_at.readers
        self._contents = looked_at.contents
        mappings = [*looked_at.mappings, vars(functional)]
        self._items = [_items_of(mapping) for mapping in mappings if isinstance(mapping, dict)]
        self._others = [mapping for mapping in mappings if not isinstance(mapping, dict)]
        self._members = [_members_of(*named) for named in (*looked_at.members, (vars(torch), _OF_TORCH))]
        # A scripted module has no methods to look at; it is never a chain.
        kinds = dict.fromkeys(map(type, looked_at.modules))
        self._kinds = [kind for kind in kinds if not issubclass(kind, torch.jit.ScriptModule)]
        given = set(map(id, parts))
        self._given = [weakref.ref(module) for module in looked_at.modules if id(module) in given]
        self._modules = [module for module in looked_at.modules if id(module) not in given]
        self._tensors = looked_at.tensors
        self._objects = list(self._present_objects())
        self._facts = self._present_facts()

    def is_current(self) -> bool:
        """Whether nothing has changed since."""
        try:
            return (
                same_items(self._items, ANYTHING)
                and same_members(self._members)
                and self._present_facts() == self._facts
                and self._has_the_same_objects()
            )
        except Exception:  # Something is not there any more, or just changes.
            return False

    def _has_the_same_objects(self) -> bool:
        objects = list(self._present_objects())
        return len(objects) == len(self._objects) and all(map(is_, objects, self._objects))

    def _present_facts(self) -> list[Any]:
        return [
            list(map(len, self._others)),
            [type(given()) for given in self._given],
            list(map(type, self._modules)),
            list(map(_OF_A_TENSOR, self._tensors)),
            [read() for read in self._contents],
            has_global_hooks(),
            torch.get_default_dtype(),
        ]

    def _present_objects(self) -> Iterator[Any]:
        others = (value for mapping in self._others for key, value in mapping.items() if key not in UNWATCHED)
        functions = ((nn.Module._call_impl, nn.Module.__call__), *map(_METHODS, self._kinds))
        attributes = map(vars, (*(given() for given in self._given), *self._modules, *self._tensors))
        hooks = (hooks.values() for tensor in self._tensors if (hooks := tensor._backward_hooks))
        return chain.from_iterable((others, *functions, attributes, *hooks, *(read() for read in self._readers)))


def _items_of(mapping: dict[Any, Any]) -> Snapshot:
    items = list(mapping.items())  # at once, lest another thread change it meanwhile
    return (
        mapping,
        tuple(key for key, _ in items),
        tuple(ANYTHING if key in UNWATCHED else value for key, value in items),
    )


def _members_of(members: Mapping[Any, Any], names: tuple[str, ...]) -> Snapshot:
    return members, names, tuple(map(members.get, names))
