"""Settings that a forward reads from outside its model: where they stand, how they are read, and how they change."""

from __future__ import annotations

import array
import builtins
import collections
import contextvars
import functools
import itertools
import logging
import math
import os
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import current_thread
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from support.hostile_chains import Plain


class Meta(type):
    slope = 0


class Config(metaclass=Meta):
    tanh = 0
    box = (0,)


class Inherits(Config):
    pass


class Slots:
    __slots__ = ("__held",)

    def __init__(self) -> None:
        self.__held = [0]

    @property
    def held(self) -> list[int]:
        return self.__held


class ListWithMore(list[int]):
    tanh = 0


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(members)
    return module


def _installed(name: str, source: str, **members: Any) -> types.ModuleType:
    """A module as if pip had put it where packages go."""
    module = _module(name, __file__=f"/usr/lib/python3/site-packages/{name}.py", **members)
    exec(source, vars(module))
    return module


INNER = _module("settings_inner", TANH=0)
MODULE = _module("settings_module", TANH=0, BOX=[0], INNER=INNER, Config=type("Config", (), {"tanh": 0}))
sys.modules["settings_module"] = MODULE
INSTALLED = _installed(
    "installed_package",
    "def read():\n    return TANH or sibling.TANH\ndef read_globals():\n    return globals()['TA' + 'NH']\n",
    TANH=0,
    sibling=_installed("installed_package.sibling", "", TANH=0),
)
FRAMEWORK = _installed("timm.activations", "def read():\n    return inner()\n", inner=lambda: 0)
exec("def read_late():\n    return bool(0)\ndef read_inner():\n    return INNER.TANH\n", vars(MODULE))
LAZY = _installed("lazy_module", "def __getattr__(name):\n    return TANH\n", TANH=0)
math.tanh_of_tests = builtins.tanh_of_tests = Tensor.tanh_of_tests = nn.Bilinear.tanh_of_tests = 0
ELSEWHERE = nn.Identity()
ELSEWHERE.tanh = 0
WEAK = weakref.ref(ELSEWHERE)
PARTIAL = functools.partial(lambda tanh: tanh, tanh=0)
ORDERED = collections.OrderedDict(a=0, b=1)
NAMELESS: dict[str, Any] = {"TANH": 0}
exec("class Made:\n    tanh = 0\ndef read():\n    return TANH\n", NAMELESS)
CLASSES = {"one": Config}
INSTANCE = Inherits()
DEQUE, BYTES, NUMBERS = collections.deque([0]), bytearray(1), array.array("i", [0])
ARRAY, OBJECTS, LARGE = np.zeros(2), np.array([0], dtype=object), np.zeros(2**18)
USER_LIST, LIST_WITH_MORE, SLOTS = collections.UserList([0]), ListWithMore(), Slots()
CONTEXT = contextvars.ContextVar("CONTEXT", default=0)
REFERENCE = weakref.ref(DEQUE)
GET = MODULE.BOX.__getitem__
TURNS = itertools.cycle([0, 0, 0, 0])
LOCAL = threading.local()
LOCAL.tanh = 0
FILE = Path(tempfile.gettempdir(), f"gradcon-tests-{os.getpid()}")
FORMAT = "{0.tanh}"
POLYNOMIAL = np.poly1d([1, 0, 0])
OPTIMIZER = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.0)
GROUP = OPTIMIZER.param_groups[0]
TENSOR, TENSORS = torch.zeros(1), [torch.zeros(1)]


def imports() -> int:
    from settings_module import TANH

    return TANH


def imports_module() -> int:
    import settings_module

    return settings_module.TANH


@functools.cache
def cached() -> int:
    return Config.tanh


@functools.wraps(len)
def renamed() -> int:
    return Config.tanh


def helped(settings: Any) -> int:
    return settings.TANH


def _first_line() -> bool:
    try:
        with open(str(FILE)) as file:
            return file.readline() == "1"
    except FileNotFoundError:
        return False


def _change_cached() -> None:
    Config.tanh = 1
    cached.cache_clear()


def attributed() -> int:
    return 0


attributed.tanh = 0


class Settings:
    def __init__(self) -> None:
        self.tanh = 0


@functools.cache
def cached_settings() -> Settings:
    return Settings()


@functools.lru_cache(8)
def bounded_settings(number: int) -> Settings:
    return Settings()


class Constructed:
    def __init__(self) -> None:
        self.tanh = Config.tanh


def _turn() -> None:
    ORDERED.move_to_end(next(iter(ORDERED)))


def _item_of(holder: dict[str, Any], key: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: holder.__setitem__(key, 1), lambda: holder.__setitem__(key, 0)


def matched() -> bool:
    match INSTANCE:
        case Config(tanh=1):
            return True
    return False


class Setting(NamedTuple):
    """Where a setting stands; `reset` puts it back."""

    read: Callable[[], Any]
    change: Callable[[], Any]
    reset: Callable[[], Any]


def _item(holder: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: holder.__setitem__(0, 1), lambda: holder.__setitem__(0, 0)


def _attribute(holder: Any, name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: setattr(holder, name, 1), lambda: setattr(holder, name, 0)


def _added(holder: Any, name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: setattr(holder, name, 1), lambda: delattr(holder, name)


WATCHED: dict[str, Setting] = {
    "attribute of a class": Setting(lambda: Config.tanh, *_attribute(Config, "tanh")),
    "attribute of a base": Setting(lambda: Inherits.tanh, *_attribute(Config, "tanh")),
    "attribute added to a subclass": Setting(lambda: Inherits.tanh, *_added(Inherits, "tanh")),
    "attribute of a metaclass": Setting(lambda: Config.slope, *_attribute(Meta, "slope")),
    "attribute of an instance's base": Setting(lambda: INSTANCE.tanh, *_attribute(Config, "tanh")),
    "class in a dict": Setting(lambda: CLASSES["one"].tanh, *_attribute(Config, "tanh")),
    "attribute that getattr adds": Setting(lambda: getattr(Config, "late", 0), *_added(Config, "late")),
    "global of a module": Setting(lambda: MODULE.TANH, *_attribute(MODULE, "TANH")),
    "item of a module's list": Setting(lambda: MODULE.BOX[0], *_item(MODULE.BOX)),
    "module in a module": Setting(lambda: MODULE.INNER.TANH, *_attribute(INNER, "TANH")),
    "class of a module": Setting(lambda: MODULE.Config.tanh, *_attribute(MODULE.Config, "tanh")),
    "module as an argument": Setting(lambda: helped(MODULE), *_attribute(MODULE, "TANH")),
    "computed name of a module": Setting(lambda: getattr(MODULE, "TA" + "NH"), *_attribute(MODULE, "TANH")),
    "import of a name": Setting(imports, *_attribute(MODULE, "TANH")),
    "import of a module": Setting(imports_module, *_attribute(MODULE, "TANH")),
    "global of an installed module": Setting(INSTALLED.read, *_attribute(INSTALLED, "TANH")),
    "global of an installed module's sibling": Setting(INSTALLED.read, *_attribute(INSTALLED.sibling, "TANH")),
    "function that one of a framework calls": Setting(
        FRAMEWORK.read,
        lambda: setattr(FRAMEWORK, "inner", lambda: 1),
        functools.partial(setattr, FRAMEWORK, "inner", FRAMEWORK.inner),
    ),
    "attribute of a function": Setting(lambda: attributed.tanh, *_attribute(attributed, "tanh")),
    "global that is added": Setting(
        lambda: MODULE.read_late(), lambda: setattr(MODULE, "bool", lambda _: 1), lambda: delattr(MODULE, "bool")
    ),
    "what a cached function returned": Setting(lambda: cached_settings().tanh, *_attribute(cached_settings(), "tanh")),
    "what a bounded cache keeps": Setting(lambda: bounded_settings(3).tanh, *_attribute(bounded_settings(3), "tanh")),
    "global in a constructor": Setting(lambda: Constructed().tanh, *_attribute(Config, "tanh")),
    "computed name of a function": Setting(lambda: getattr(MODULE, "read_" + "inner")(), *_attribute(INNER, "TANH")),
    "attribute that a module makes": Setting(lambda: LAZY.anything, *_attribute(LAZY, "TANH")),
    "keyword of a partial": Setting(
        PARTIAL, lambda: PARTIAL.keywords.update(tanh=1), lambda: PARTIAL.keywords.update(tanh=0)
    ),
    "order of a dict": Setting(lambda: next(iter(ORDERED)) == "b", _turn, _turn),
    "class made by exec": Setting(lambda: NAMELESS["Made"].tanh, *_attribute(NAMELESS["Made"], "tanh")),
    "function made by exec": Setting(NAMELESS["read"], *_item_of(NAMELESS, "TANH")),
    "attribute of a library": Setting(lambda: math.tanh_of_tests, *_attribute(math, "tanh_of_tests")),
    "builtin that is exchanged": Setting(
        lambda: tanh_of_tests,  # noqa: F821
        *_attribute(builtins, "tanh_of_tests"),
    ),
    "method of tensors": Setting(lambda: Tensor.tanh_of_tests, *_attribute(Tensor, "tanh_of_tests")),
    "weak reference to a module": Setting(lambda: WEAK().tanh, *_attribute(ELSEWHERE, "tanh")),
    "deque": Setting(lambda: DEQUE[0], *_item(DEQUE)),
    "bytearray": Setting(lambda: BYTES[0], *_item(BYTES)),
    "array": Setting(lambda: NUMBERS[0], *_item(NUMBERS)),
    "numpy array": Setting(lambda: ARRAY[0], *_item(ARRAY)),
    "UserList": Setting(lambda: USER_LIST[0], *_item(USER_LIST)),
    "class of a list": Setting(lambda: LIST_WITH_MORE.tanh, *_attribute(ListWithMore, "tanh")),
    "list in a hidden slot": Setting(lambda: SLOTS.held[0], *_item(SLOTS.held)),
    "context variable": Setting(lambda: CONTEXT.get(), lambda: CONTEXT.set(1), lambda: CONTEXT.set(0)),
    "environment": Setting(
        lambda: os.environ.get("GRADCON_TEST_TANH") == "1",
        lambda: os.environ.__setitem__("GRADCON_TEST_TANH", "1"),
        lambda: os.environ.pop("GRADCON_TEST_TANH", None),
    ),
    "weak reference": Setting(lambda: REFERENCE()[0], *_item(DEQUE)),
    "method of a list": Setting(lambda: GET(0), *_item(MODULE.BOX)),
    "renamed function": Setting(renamed, *_attribute(Config, "tanh")),
    "cleared cache": Setting(cached, _change_cached, lambda: (setattr(Config, "tanh", 0), cached.cache_clear())),
    "match statement": Setting(matched, *_attribute(Config, "tanh")),
    "format of a string": Setting(lambda: FORMAT.format(Config) == "1", *_attribute(Config, "tanh")),
    "attribute of a class of torch": Setting(
        lambda: nn.Bilinear.tanh_of_tests, *_attribute(nn.Bilinear, "tanh_of_tests")
    ),
    "coefficient of a polynomial": Setting(lambda: POLYNOMIAL[0], *_item(POLYNOMIAL)),
    "group of an optimizer": Setting(lambda: OPTIMIZER.param_groups[0]["lr"], *_item_of(GROUP, "lr")),
    "default dtype": Setting(
        lambda: torch.get_default_dtype() == torch.float64,
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
}
"""What a fingerprint compares."""

UNSEEN: dict[str, Setting] = {
    "globals": Setting(lambda: globals().get("ADDED", 0), *_added(sys.modules[__name__], "ADDED")),
    "installed globals": Setting(INSTALLED.read_globals, *_attribute(INSTALLED, "TANH")),
    "eval": Setting(lambda: eval("Config.tanh"), *_attribute(Config, "tanh")),
    "sys.modules": Setting(lambda: sys.modules["settings_module"].TANH, *_attribute(MODULE, "TANH")),
    "backends": Setting(
        lambda: torch.backends.cudnn.benchmark,
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: setattr(torch.backends.cudnn, "benchmark", False),
    ),
    "logging": Setting(
        lambda: logging.getLogger("gradcon_tests").level == logging.DEBUG,
        lambda: logging.getLogger("gradcon_tests").setLevel(logging.DEBUG),
        lambda: logging.getLogger("gradcon_tests").setLevel(logging.NOTSET),
    ),
    "name of the current_thread": Setting(
        lambda: current_thread().name == "renamed",
        lambda: setattr(current_thread(), "name", "renamed"),
        lambda: setattr(current_thread(), "name", "MainThread"),
    ),
    "threading.local": Setting(lambda: LOCAL.tanh, *_attribute(LOCAL, "tanh")),
    "files of os": Setting(lambda: os.path.exists(FILE), FILE.touch, functools.partial(FILE.unlink, missing_ok=True)),
    "contents by open": Setting(_first_line, functools.partial(FILE.write_text, "1"), functools.partial(FILE.unlink)),
    "get_float32_matmul_precision": Setting(
        lambda: torch.get_float32_matmul_precision() == "high",
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "itertools": Setting(lambda: next(TURNS), lambda: None, lambda: None),
    "array of objects": Setting(lambda: OBJECTS[0], *_item(OBJECTS)),
    "large array": Setting(lambda: LARGE[0], *_item(LARGE)),
}
"""What it cannot compare, and says so."""

READ_FROM_TENSORS: dict[str, Setting] = {
    "bool": Setting(lambda: bool(TENSOR), *_item(TENSOR)),
    "float": Setting(lambda: float(TENSOR), *_item(TENSOR)),
    "item": Setting(lambda: TENSOR.item(), *_item(TENSOR)),
    "tolist": Setting(lambda: TENSOR.tolist()[0], *_item(TENSOR)),
    "numpy": Setting(lambda: TENSOR.numpy()[0], *_item(TENSOR)),
    "asarray": Setting(lambda: np.asarray(TENSOR)[0], *_item(TENSOR)),
    "in a list": Setting(lambda: TENSORS[0].gt(0).any(), *_item(TENSORS[0])),
    "size of what is there": Setting(lambda: len(TENSOR.nonzero()), *_item(TENSOR)),
    "data": Setting(lambda: TENSOR.tolist()[0], lambda: TENSOR.data.fill_(1), lambda: TENSOR.data.fill_(0)),
}
"""Numbers of a tensor that is no part of the model."""


class Switched(Plain):
    """A model of `hostile_chains` that has another activation where a setting is true."""

    def __init__(self, read: Callable[[], Any]) -> None:
        super().__init__()
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.encoder(x)
        return self.decoder(hidden.relu() if self.read() else hidden.tanh())


class Mixing(nn.Module):
    """Samples influence each other where a setting is true."""

    def __init__(self, read: Callable[[], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        return output - output.mean(0) if self.read() else output
