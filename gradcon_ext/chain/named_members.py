"""Members of classes and modules, which are looked at once some code names them."""

from __future__ import annotations

import builtins
import types
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from gradcon_ext.chain.code_names import COMPUTED, CONSTRUCTORS, names_in, runs_unnamed
from gradcon_ext.chain.functions import function_of
from gradcon_ext.chain.noted import Noted
from gradcon_ext.chain.ownership import is_in_framework, is_in_library, is_own

_LATE = ("__annotations__", "__slotnames__")
"""What Python itself adds to a class, as when an instance is copied."""


class NamedMembers(Noted, ABC):
    """What is noted, with the classes and modules that code may name members of."""

    def __init__(self) -> None:
        super().__init__()
        self._methods: dict[type, set[str]] = {}
        self._constructed: set[type] = set()
        self._scopes: dict[int, types.ModuleType] = {}
        self._foreign: dict[int, types.ModuleType | type] = {}
        self._read_of_scopes: dict[int, set[str]] = {}

    @abstractmethod
    def take(self, value: Any) -> None:
        """Look at a value, and at whatever is within its reach."""

    def take_all(self, values: Iterable[Any]) -> None:
        """Look at values."""
        for value in list(values):
            self.take(value)

    def add_scope(self, module: types.ModuleType) -> None:
        """Add a module."""
        if not is_own(module):
            self._foreign[id(module)] = module
        else:
            self._scopes[id(module)] = module
            self._read_of_scopes[id(module)] = set()
            members = vars(module)
            self.contents.append(lambda: len(members))

    def add_named_class(self, kind: type) -> None:
        """Add a class that code names, or that an object holds, and its type: attributes of both may be settings."""
        if is_own(kind):
            self._constructed.update(kind.__mro__)
            self.add_class_and_bases(kind)
            self.add_class_and_bases(type(kind))
        else:
            self._foreign[id(kind)] = kind

    def add_class_and_bases(self, kind: type) -> None:
        """Add a class of the user's with those that it is derived from."""
        for base in kind.__mro__:
            if is_own(base):
                self._add_class(base)

    def add_classes_of_module(self, kind: type[nn.Module]) -> None:
        """Add the class of a model's module, whosever it is, with those that it is derived from."""
        for base in kind.__mro__:
            if is_own(base) or is_in_framework(base):
                self._add_class(base)
            elif issubclass(base, nn.Module) and base is not nn.Module and base not in self._methods:
                self._methods[base] = set()
                self._read_members(vars(base))

    def take_named(self) -> None:
        """Look at all that any code names, what that names in turn included, and compare what the names stand for."""
        while self._take_newly_named():
            pass
        for number, scope in self._scopes.items():
            self.read_names(vars(scope), self._read_of_scopes[number])
        for namespace in (vars(nn.Module), vars(Tensor), vars(builtins), *map(vars, self._foreign.values())):
            self.read_names(namespace, self.names.intersection(namespace))

    def _take_newly_named(self) -> bool:
        """Take what code names by now, and tell whether there was something new."""
        before = self._known()
        for kind, taken in list(self._methods.items()):
            self._take_methods(kind, taken)
        for foreign in list(self._foreign.values()):
            members = vars(foreign)
            for held in map(members.get, self.names.intersection(members)):
                if isinstance(held, type | types.ModuleType) and is_in_library(held):
                    self._foreign[id(held)] = held
        for number, scope in list(self._scopes.items()):
            members = vars(scope)
            named = self.names.intersection(members)
            if self.names & COMPUTED:
                named |= {name for name, held in members.items() if _may_be_meant(name, held, scope)}
            named |= {"__getattr__"} & members.keys()
            self.take_all(map(members.get, named - self._read_of_scopes[number]))
            self._read_of_scopes[number] |= named
        return self._known() != before

    def _known(self) -> tuple[int, int, int]:
        return len(self.seen), len(self.names), len(self._foreign)

    def _add_class(self, kind: type) -> None:
        """Take what stands in it: settings that its instances share, for example; its methods once code names them."""
        if id(kind) in self.seen:
            return
        self.seen[id(kind)] = kind
        self._methods.setdefault(kind, set())
        members = vars(kind)
        self.take_all(members[name] for name in self._read_members(members) if function_of(members[name]) is None)

    def _read_members(self, members: Mapping[str, Any]) -> list[str]:
        """Compare what stands in a class, and return the names of it."""
        names = [name for name in members if runs_unnamed(name) or not name.startswith("__")]
        self.read_names(members, names)
        self.contents.append(lambda: len(members) - sum(map(members.__contains__, _LATE)))
        return names

    def _take_methods(self, kind: type, taken: set[str]) -> None:
        """Take the methods of a class that some code names, or that run without being named."""
        every = bool(self.names & COMPUTED) and is_own(kind)
        names = self.names | CONSTRUCTORS if kind in self._constructed else self.names
        for name, member in vars(kind).items():
            function = function_of(member)
            if function is not None and name not in taken and (every or name in names or runs_unnamed(name)):
                taken.add(name)
                # A library's method may call what a class of the user's puts in the place of another.
                self.names |= set(names_in(function.__code__))
                if is_own(kind) or is_in_framework(kind) or is_own(function):
                    self.take_all([function])


def _may_be_meant(name: str, value: Any, scope: types.ModuleType) -> bool:
    """Whether a computed name may be that of a module's member: a setting, or something that is defined there."""
    if name.startswith("__") or isinstance(value, types.ModuleType):
        return False
    return not callable(value) or getattr(value, "__module__", None) == vars(scope).get("__name__")
