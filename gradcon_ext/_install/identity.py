"""Whether mappings hold the very objects that they held, told by the compiled module in microseconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Snapshot: TypeAlias = tuple[Mapping[Any, Any], tuple[Any, ...], tuple[Any, ...]]
"""A mapping, keys of it, and what it held for them."""

ANYTHING: Any = object()
"""Stands for a value that may be any."""

_compiled = importlib.import_module("gradcon_ext._C")

same_items: Callable[[list[Snapshot], Any], bool] = _compiled.same_items
"""Whether each dictionary has these items and no others, in this order, but for values that are the second argument."""

same_members: Callable[[list[Snapshot]], bool] = _compiled.same_members
"""Whether each mapping has these items, where None stands for a key that it does not have."""
