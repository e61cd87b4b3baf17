"""What objects hold that are neither modules nor tensors nor functions: containers, and instances of classes."""

from __future__ import annotations

import builtins
import collections
import contextvars
import operator
import os
import types
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gradcon_ext.chain.contents import cached_results, contents_reader, incomparable
from gradcon_ext.chain.functions import attributes_of
from gradcon_ext.chain.noted import Noted

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
"""Types of values that hold nothing."""

_SETTINGS = (*PLAIN, list, tuple, dict, np.ndarray)
_CONTAINERS = (list, tuple, set, frozenset, collections.deque, collections.UserList)


def held_by_container(value: Any, noted: Noted) -> list[Any]:
    """Note how to compare what a container holds, and return what that is; nothing of what is no container."""
    read = contents_reader(value)
    noted.note_unseen(incomparable(value))
    if value is vars(builtins):  # which every namespace of code has
        return []
    if isinstance(value, Mapping):
        # Each look at an environment makes new strings.
        held = os.environ._data if value is os.environ else value  # type: ignore[attr-defined]
        noted.mappings.append(held)
        noted.readers.append(lambda: held)  # its keys, whose order matters
        return [*held, *held.values()]
    if isinstance(value, _CONTAINERS):
        if not isinstance(value, tuple | frozenset):
            noted.readers.append(lambda: value)
        return list(value)
    if read is not None:
        if not noted.unseen:
            noted.contents.append(read)
        results = [held for held in cached_results(value) if not isinstance(held, dict)]
        return [getattr(value, "__wrapped__", None), *results]
    if isinstance(value, contextvars.ContextVar):
        noted.readers.append(lambda: (value.get(None),))
        return [value.get(None)]
    if isinstance(value, weakref.ref):
        if not isinstance(value(), nn.Module):
            return [value()]
        noted.readers.append(lambda: attributes_of(value()))  # It is not kept alive here either.
    elif isinstance(value, operator.attrgetter | operator.methodcaller):
        noted.names.update(name for name in value.__reduce__()[1] if isinstance(name, str))
    elif isinstance(value, types.BuiltinMethodType):  # such as the `get` of a dict
        noted.names.add(value.__name__)  # `getattr` by another name
        return [value.__self__]
    return []


def held_by_instance(value: Any, noted: Noted) -> list[Any]:
    """Note the attributes of an instance of the user's class, for comparison, and return their values."""
    found: list[Any] = []
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        noted.mappings.append(attributes)
        noted.readers.append(lambda: (getattr(value, "__dict__", None),))  # another one may take its place
        found += attributes.values()
    slots = [name for kind in type(value).__mro__ for name in _slots_of(kind)]
    if slots:
        noted.readers.append(lambda: [getattr(value, name, None) for name in slots])
        found += (getattr(value, name, None) for name in slots)
    return found


def settings_of(value: Any, noted: Noted) -> list[Any]:
    """Likewise the settings of an instance of a library's class, which may be in containers, as an optimizer's are."""
    attributes = getattr(value, "__dict__", None)
    if not isinstance(attributes, dict):
        return []
    settings = {name: held for name, held in attributes.items() if isinstance(held, _SETTINGS)}
    noted.read_names(attributes, settings)
    noted.readers.append(lambda: (getattr(value, "__dict__", None),))
    return list(settings.values())


def _slots_of(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    hidden = f"_{kind.__name__.lstrip('_')}"
    return [hidden + name if name.startswith("__") and not name.endswith("__") else name for name in names]
