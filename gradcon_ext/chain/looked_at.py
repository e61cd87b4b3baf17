"""Finds what a model's Python code can look at."""

from __future__ import annotations

import builtins
import collections
import contextvars
import functools
import operator
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradcon_ext.chain.code_names import (
    COMPUTED,
    CONSTRUCTORS,
    ENVIRONMENT,
    imported_in,
    names_in,
    reads_identities,
    runs_unnamed,
    strings_in,
    unseeable_in,
)
from gradcon_ext.chain.contents import cached_results, contents_reader, incomparable
from gradcon_ext.chain.functions import attributes_of, contents_of, function_of, read_by
from gradcon_ext.chain.ownership import is_generator, is_in_framework, is_in_library, is_own, outside

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_PLAIN_TYPES = frozenset(PLAIN)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WATCHED = frozenset(("training", "_parameters", "_buffers", "_modules", *_HOOKS))
UNWATCHED = frozenset(vars(nn.Module())) - _WATCHED
_LATE = ("__annotations__", "__slotnames__")
"""What Python itself adds to a class, as when an instance is copied."""
_SETTINGS = (*PLAIN, list, tuple, dict, np.ndarray)
_CONTAINERS = (list, tuple, set, frozenset, collections.deque, collections.UserList)


class LookedAt:
    """Attributes, items of containers, globals, closures, and what stands in the user's classes and modules.

    Attributes:
        modules, tensors: of the models, and others that are within reach.
        mappings: whose values are compared by identity.
        readers: of further objects that are.
        contents: readers of what is compared by value.
        unseen: something that code may read and that cannot be compared, if any.
        by_identity: what code knows objects by that are others in a copy, if anything.
        generators: of random numbers.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        self.modules: list[nn.Module] = []
        self.tensors: list[Tensor] = []
        self.mappings: list[Mapping[Any, Any]] = []
        self.readers: list[Callable[[], Iterable[Any]]] = []
        self.contents: list[Callable[[], Any]] = []
        self.unseen: str | None = None
        self.by_identity: str | None = None
        self.generators: list[Any] = []
        self._seen: dict[int, Any] = {}
        self._names: set[str] = set()
        self._methods: dict[type, set[str]] = {}
        self._constructed: set[type] = set()
        self._scopes: dict[int, types.ModuleType] = {}
        self._foreign: dict[int, types.ModuleType | type] = {}
        self._read_of_scopes: dict[int, set[str]] = {}
        self._take_all(parts)
        while self._take_from_scopes():
            pass
        for number, scope in self._scopes.items():
            self._read_names(vars(scope), self._read_of_scopes[number])
        for namespace in (vars(nn.Module), vars(Tensor), vars(builtins), *map(vars, self._foreign.values())):
            self._read_names(namespace, self._names.intersection(namespace))

    def take(self, value: Any) -> None:
        """Look at a value, and at whatever is within its reach."""
        if type(value) in _PLAIN_TYPES or id(value) in self._seen:
            return
        try:
            self._look_at(value)
        except Exception as error:  # Whatever its attributes raise, or a chain of objects that is too long.
            kind = type(value).__name__
            self.unseen = self.unseen or f"a {kind}, which cannot be looked at ({type(error).__name__})"

    def _look_at(self, value: Any) -> None:
        if isinstance(value, PLAIN):
            return
        source = outside(value)
        if source is not None:
            self.unseen = self.unseen or f"what {source} tells"
            if is_generator(value):
                self.generators.append(value)
            return
        if isinstance(value, weakref.WeakKeyDictionary):
            self._note_identity("keys of a WeakKeyDictionary")
            return
        if isinstance(value, type):
            self._take_named_class(value)
            return
        self._seen[id(value)] = value
        if isinstance(value, nn.Module):
            self._take_module(value)
        elif isinstance(value, Tensor):
            self.tensors.append(value)
            self.mappings.append(vars(value))
            self._take_all(vars(value).values())
        elif isinstance(value, types.ModuleType):
            self._take_scope(value)
        elif isinstance(value, types.FunctionType):
            self._take_function(value)
        elif isinstance(value, types.MethodType):
            self._take_all((value.__func__, value.__self__))
        elif isinstance(value, functools.partial):
            self.mappings.append(value.keywords)
            self._take_all((value.func, *value.args, *value.keywords.values()))
        else:
            self._take_container(value)
            if is_in_library(type(value)):
                self._take_numbers(value)
            else:
                self._take_instance(value)

    def _note_identity(self, what: str) -> None:
        self.by_identity = what
        self.unseen = self.unseen or what

    def _take_container(self, value: Any) -> None:
        read = contents_reader(value)
        self.unseen = self.unseen or incomparable(value)
        if value is vars(builtins):  # which every namespace of code has
            return
        if isinstance(value, Mapping):
            # Each look at an environment makes new strings.
            held = os.environ._data if value is os.environ else value  # type: ignore[attr-defined]
            self.mappings.append(held)
            self.readers.append(lambda: held)  # its keys, whose order matters
            self._take_all((*held, *held.values()))
        elif isinstance(value, _CONTAINERS):
            if not isinstance(value, tuple | frozenset):
                self.readers.append(lambda: value)
            self._take_all(value)
        elif read is not None:
            if not self.unseen:
                self.contents.append(read)
            self.take(getattr(value, "__wrapped__", None))
            self._take_all(held for held in cached_results(value) if not isinstance(held, dict))
        elif isinstance(value, contextvars.ContextVar):
            self.readers.append(lambda: (value.get(None),))
            self.take(value.get(None))
        elif isinstance(value, weakref.ref):
            if isinstance(value(), nn.Module):  # which is not kept alive here either
                self.readers.append(lambda: attributes_of(value()))
            else:
                self.take(value())
        elif isinstance(value, operator.attrgetter | operator.methodcaller):
            self._names.update(name for name in value.__reduce__()[1] if isinstance(name, str))
        elif isinstance(value, types.BuiltinMethodType):  # such as the `get` of a dict
            self._names.add(value.__name__)  # `getattr` by another name
            self.take(value.__self__)

    def _take_module(self, module: nn.Module) -> None:
        self.modules.append(module)
        attributes = vars(module)
        children = attributes.get("_modules")
        if isinstance(children, dict) and children:
            self.readers.append(lambda: children)  # their names, whose order matters
        held = (attributes.get(name) for name in sorted(_WATCHED - {"training"}))
        self.mappings += [attributes, *(mapping for mapping in held if isinstance(mapping, dict))]
        for tensors in (module._parameters, module._buffers):
            self._take_all(tensors.values())
        for name, value in attributes.items():
            if name not in _WATCHED | UNWATCHED:
                self.take(value)
        for hooks in _HOOKS:
            self._take_all(attributes.get(hooks, {}).values())
        for kind in type(module).__mro__:
            if is_own(kind) or is_in_framework(kind):
                self._take_class(kind)
            elif issubclass(kind, nn.Module) and kind is not nn.Module and kind not in self._methods:
                self._methods[kind] = set()
                self._read_members(vars(kind))
        self._take_all(module.children())

    def _take_all(self, values: Iterable[Any]) -> None:
        for value in list(values):
            self.take(value)

    def _take_instance(self, value: Any) -> None:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self.mappings.append(attributes)
            self._take_all(attributes.values())
        slots = [name for kind in type(value).__mro__ for name in _slots_of(kind)]
        if slots:
            self.readers.append(lambda: [getattr(value, name, None) for name in slots])
            self._take_all(getattr(value, name, None) for name in slots)
        self._take_class_and_bases(type(value))

    def _take_numbers(self, value: Any) -> None:
        """The settings of an instance of a library's class, which may be in containers, as an optimizer's are."""
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self._read_names(attributes, [name for name, held in attributes.items() if isinstance(held, _SETTINGS)])
            self._take_all(held for held in attributes.values() if isinstance(held, _SETTINGS))

    def _take_named_class(self, kind: type) -> None:
        """A class that code names, or that an object holds: its attributes may be settings, and so may its type's."""
        if is_own(kind):
            self._constructed.update(kind.__mro__)
            self._take_class_and_bases(kind)
            self._take_class_and_bases(type(kind))
        else:
            self._foreign[id(kind)] = kind

    def _take_class_and_bases(self, kind: type) -> None:
        for base in kind.__mro__:
            if is_own(base):
                self._take_class(base)

    def _take_class(self, kind: type) -> None:
        """What stands in it: settings that its instances share, for example; its methods once code names them."""
        if id(kind) in self._seen:
            return
        self._seen[id(kind)] = kind
        self._methods.setdefault(kind, set())
        members = vars(kind)
        self._take_all(members[name] for name in self._read_members(members) if function_of(members[name]) is None)

    def _read_members(self, members: Mapping[str, Any]) -> list[str]:
        """Compare what stands in a class, and return the names of it."""
        names = [name for name in members if runs_unnamed(name) or not name.startswith("__")]
        self._read_names(members, names)
        self.contents.append(lambda: len(members) - sum(map(members.__contains__, _LATE)))
        return names

    def _take_methods(self, kind: type, taken: set[str]) -> None:
        """Take the methods of a class that some code names, or that run without being named."""
        every = bool(self._names & COMPUTED) and is_own(kind)
        names = self._names | CONSTRUCTORS if kind in self._constructed else self._names
        for name, member in vars(kind).items():
            function = function_of(member)
            if function is not None and name not in taken and (every or name in names or runs_unnamed(name)):
                taken.add(name)
                # A library's method may call what a class of the user's puts in the place of another.
                self._names |= set(names_in(function.__code__))
                if is_own(kind) or is_in_framework(kind) or is_own(function):
                    self.take(function)

    def _take_function(self, function: types.FunctionType) -> None:
        """What its code reads from outside; of a library's function what it closes over, which may be the user's.

        What a framework's function reads is compared, but not looked into.
        """
        own = is_own(function)
        if own:
            self._take_names(function.__code__, function.__globals__)
            self.mappings.append(vars(function))
            self._take_all(vars(function).values())
        if own or is_in_framework(function) or function.__closure__:
            self._read_function(function)
        self._take_all(read_by(function))

    def _read_function(self, function: types.FunctionType) -> None:
        """Compare its code, and what its names stand for, also those that stand for nothing yet."""
        self.readers.append(lambda: (function.__code__, function.__defaults__, function.__kwdefaults__))
        self._read_names(function.__globals__, dict.fromkeys(names_in(function.__code__)))
        cells = function.__closure__ or ()
        if cells:
            self.readers.append(lambda: map(contents_of, cells))

    def _take_names(self, code: types.CodeType, scope: Mapping[str, Any]) -> None:
        """The names in the code of the user's functions, which may be attributes of modules."""
        names = set(names_in(code))
        self._names |= names.union(strings_in(code))
        unseeable = unseeable_in(names, scope)
        if unseeable is not None:
            self.unseen = self.unseen or f"whatever {code.co_name} finds by {unseeable}"
        if reads_identities(code):
            self._note_identity(f"id() in {code.co_name}")
        if names & ENVIRONMENT:
            self.take(os.environ)
        imported = imported_in(code, scope)
        self._read_names(sys.modules, imported)
        self._take_all(map(sys.modules.get, imported))

    def _take_scope(self, module: types.ModuleType) -> None:
        if not is_own(module):
            self._foreign[id(module)] = module
        else:
            self._scopes[id(module)] = module
            self._read_of_scopes[id(module)] = set()
            members = vars(module)
            self.contents.append(lambda: len(members))

    def _take_from_scopes(self) -> bool:
        """Take what any code names in classes and in the user's modules, and tell whether there was something new."""
        before = len(self._seen), len(self._names), len(self._foreign)
        for kind, taken in list(self._methods.items()):
            self._take_methods(kind, taken)
        for foreign in list(self._foreign.values()):
            members = vars(foreign)
            for held in map(members.get, self._names.intersection(members)):
                if isinstance(held, type | types.ModuleType) and is_in_library(held):
                    self._foreign[id(held)] = held
        for number, scope in list(self._scopes.items()):
            members = vars(scope)
            named = self._names.intersection(members)
            if self._names & COMPUTED:
                named |= {name for name, held in members.items() if _may_be_meant(name, held, scope)}
            named |= {"__getattr__"} & members.keys()
            self._take_all(map(members.get, named - self._read_of_scopes[number]))
            self._read_of_scopes[number] |= named
        return (len(self._seen), len(self._names), len(self._foreign)) != before

    def _read_names(self, members: Mapping[str, Any], names: Iterable[str]) -> None:
        names = list(names)
        if names:
            self.readers.append(lambda: map(members.get, names))


def _may_be_meant(name: str, value: Any, scope: types.ModuleType) -> bool:
    """Whether a computed name may be that of a module's member: a setting, or something that is defined there."""
    if name.startswith("__") or isinstance(value, types.ModuleType):
        return False
    return not callable(value) or getattr(value, "__module__", None) == vars(scope).get("__name__")


def _slots_of(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    hidden = f"_{kind.__name__.lstrip('_')}"
    return [hidden + name if name.startswith("__") and not name.endswith("__") else name for name in names]
