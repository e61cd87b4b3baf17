"""What containers of libraries hold, for comparison with what they hold later."""

from __future__ import annotations

import array
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

LARGEST = 2**20
"""Bytes of an array that are compared at each call."""


def contents_reader(value: Any) -> Callable[[], Any] | None:
    """Return a function that tells the numbers which a container holds now; None where a value is no such container."""
    if isinstance(value, bytearray):
        return lambda: bytes(value)
    if isinstance(value, array.array | memoryview):
        return lambda: (len(value), value.tobytes())
    if _is_numpy_array(value):
        return lambda: (value.shape, value.dtype, value.tobytes())
    if isinstance(value, functools._lru_cache_wrapper):  # What it keeps is not computed any more.
        return lambda: value.cache_info()[1:]
    return None


def cached_results(function: Any) -> list[Any]:
    """Return what `functools.cache` or `lru_cache` keeps of a function, whose insides may change while it is kept."""
    if not isinstance(function, functools._lru_cache_wrapper):
        return []
    # A bounded cache holds its results itself, another one has them in a dictionary.
    held = gc.get_referents(function)
    return [*held, *(value for entries in held if type(entries) is dict for value in entries.values())]


def incomparable(value: Any) -> str | None:
    """Say what cannot be compared: an iterator, which changes as it is read, a large array, or one of objects."""
    if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
        return f"a {type(value).__name__}, which changes as it is read"
    if _is_numpy_array(value) and value.dtype.hasobject:
        return "an array of objects"
    size = getattr(value, "nbytes", 0) if isinstance(value, memoryview) or _is_numpy_array(value) else 0
    if isinstance(value, bytearray | array.array):
        size = len(memoryview(value).cast("B"))
    return f"an array of {size} bytes" if size > LARGEST else None


def _is_numpy_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)
