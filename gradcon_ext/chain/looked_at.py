"""Finds what a model's Python code can look at."""

from __future__ import annotations

import functools
import os
import sys
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from gradcon_ext.chain.code_names import (
    ENVIRONMENT,
    imported_in,
    names_in,
    reads_identities,
    strings_in,
    unseeable_in,
)
from gradcon_ext.chain.functions import contents_of, read_by
from gradcon_ext.chain.holding import PLAIN, held_by_container, held_by_instance, settings_of
from gradcon_ext.chain.named_members import NamedMembers
from gradcon_ext.chain.ownership import is_generator, is_in_framework, is_in_library, is_own, outside

_PLAIN_TYPES = frozenset(PLAIN)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WATCHED = frozenset(("training", "_parameters", "_buffers", "_modules", *_HOOKS))
UNWATCHED = frozenset(vars(nn.Module())) - _WATCHED


class LookedAt(NamedMembers):
    """Attributes, items of containers, globals, closures, and what stands in the user's classes and modules.

    Args:
        parts: models and other objects that are looked at, with all within their reach.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        super().__init__()
        self.take_all(parts)
        self.take_named()

    def take(self, value: Any) -> None:
        """Look at a value, and at whatever is within its reach, of what is not seen yet."""
        if type(value) in _PLAIN_TYPES or id(value) in self.seen:
            return
        try:
            self._look_at(value)
        except Exception as error:  # Whatever its attributes raise, or a chain of objects that is too long.
            kind = type(value).__name__
            self.note_unseen(f"a {kind}, which cannot be looked at ({type(error).__name__})")

    def _look_at(self, value: Any) -> None:
        if isinstance(value, PLAIN):
            return
        source = outside(value)
        if source is not None:
            self.note_unseen(f"what {source} tells")
            if is_generator(value):
                self.generators.append(value)
            return
        if isinstance(value, weakref.WeakKeyDictionary):
            self.note_identity("keys of a WeakKeyDictionary")
            return
        if isinstance(value, type):
            self.add_named_class(value)
            return
        self.seen[id(value)] = value
        if isinstance(value, nn.Module):
            self._take_module(value)
        elif isinstance(value, Tensor):
            self.tensors.append(value)
            self.mappings.append(vars(value))
            self.take_all(vars(value).values())
        elif isinstance(value, types.ModuleType):
            self.add_scope(value)
        elif isinstance(value, types.FunctionType):
            self._take_function(value)
        elif isinstance(value, types.MethodType):
            self.take_all((value.__func__, value.__self__))
        elif isinstance(value, functools.partial):
            self.mappings.append(value.keywords)
            self.take_all((value.func, *value.args, *value.keywords.values()))
        else:
            self.take_all(held_by_container(value, self))
            if is_in_library(type(value)):
                self.take_all(settings_of(value, self))
            else:
                self.take_all(held_by_instance(value, self))
                self.add_class_and_bases(type(value))

    def _take_module(self, module: nn.Module) -> None:
        self.modules.append(module)
        attributes = vars(module)
        children = attributes.get("_modules")
        if isinstance(children, dict) and children:
            self.readers.append(lambda: children)  # their names, whose order matters
        held = (attributes.get(name) for name in sorted(_WATCHED - {"training"}))
        self.mappings += [attributes, *(mapping for mapping in held if isinstance(mapping, dict))]
        for tensors in (module._parameters, module._buffers):
            self.take_all(tensors.values())
        for name, value in attributes.items():
            if name not in _WATCHED | UNWATCHED:
                self.take(value)
        for hooks in _HOOKS:
            self.take_all(attributes.get(hooks, {}).values())
        self.add_classes_of_module(type(module))
        self.take_all(module.children())

    def _take_function(self, function: types.FunctionType) -> None:
        """What its code reads from outside; of a library's function what it closes over, which may be the user's.

        What a framework's function reads is compared, but not looked into.
        """
        own = is_own(function)
        if own:
            self._take_names(function.__code__, function.__globals__)
            self.mappings.append(vars(function))
            self.take_all(vars(function).values())
        if own or is_in_framework(function) or function.__closure__:
            self._read_function(function)
        self.take_all(read_by(function))

    def _read_function(self, function: types.FunctionType) -> None:
        """Compare its code, and what its names stand for, also those that stand for nothing yet."""
        self.readers.append(lambda: (function.__code__, function.__defaults__, function.__kwdefaults__, vars(function)))
        self.read_names(function.__globals__, dict.fromkeys(names_in(function.__code__)))
        cells = function.__closure__ or ()
        if cells:
            self.readers.append(lambda: map(contents_of, cells))

    def _take_names(self, code: types.CodeType, scope: Mapping[str, Any]) -> None:
        """The names in the code of the user's functions, which may be attributes of modules."""
        names = set(names_in(code))
        self.names |= names.union(strings_in(code))
        unseeable = unseeable_in(names, scope)
        if unseeable is not None:
            self.note_unseen(f"whatever {code.co_name} finds by {unseeable}")
        if reads_identities(code):
            self.note_identity(f"id() in {code.co_name}")
        if names & ENVIRONMENT:
            self.take(os.environ)
        imported = imported_in(code, scope)
        self.read_names(sys.modules, imported)
        self.take_all(map(sys.modules.get, imported))
