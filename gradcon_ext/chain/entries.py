"""Reading a chain from what JSON holds, and from nothing else."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gradcon_ext.chain.layer import MOST_LAYERS, Layer, LayerKind, Source

_Made = TypeVar("_Made")
_Reader = Callable[[Any], Any]


def read(make: Callable[..., _Made], readers: Mapping[str, _Reader], entry: Any) -> _Made:
    """Make something of an object whose entries have readers; raise ValueError for any other."""
    if not isinstance(entry, Mapping) or not entry.keys() <= readers.keys():
        raise ValueError(f"expected an object with entries among {list(readers)}, got {_shortened(entry)}")
    values = {name: readers[name](value) for name, value in entry.items()}
    try:
        return make(**values)
    except TypeError as error:
        raise ValueError(f"an entry of {_shortened(entry)} is missing: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shortened(value)}")
    return value


def _integer(value: Any) -> int:
    # JSON's true and false are no numbers, though Python's are.
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise ValueError(f"expected a whole number below 2^31, got {_shortened(value)}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"expected a number, got {_shortened(value)}")
    return value


def _items(value: Any, read: _Reader, count: int | None = None, most: int | None = None) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or (count is not None and len(value) != count):
        raise ValueError(f"expected a list{'' if count is None else f' of {count}'}, got {_shortened(value)}")
    if most is not None and len(value) > most:
        raise ValueError(f"expected a list of {most} at most, got {len(value)}")
    return tuple(map(read, value))


def _kind(value: Any) -> LayerKind:
    kinds = {kind.name.lower(): kind for kind in LayerKind}
    if not isinstance(value, str) or value not in kinds:
        raise ValueError(f"expected a kind in {list(kinds)}, got {_shortened(value)}")
    return kinds[value]


def _shape(value: Any) -> tuple[Any, ...]:
    return _items(value, _integer, 3)


def _pair(value: Any) -> tuple[Any, ...]:
    return _items(value, _integer, 2)


def _shortened(value: Any) -> str:
    return reprlib.repr(value)[:80]


_LAYER_ENTRIES: dict[str, _Reader] = {
    "kind": _kind,
    "shape": _shape,
    "weight": _integer,
    "bias": _integer,
    "reference": _integer,
    "stride": _pair,
    "padding": _pair,
    "dilation": _pair,
    "groups": _integer,
    "constant": _number,
}
_SOURCE_ENTRIES: dict[str, _Reader] = {"kind": _text, "name": _text, "eps": _number}
CHAIN_ENTRIES: dict[str, _Reader] = {
    "image_shape": _shape,
    "layers": lambda value: _items(value, lambda entry: read(Layer, _LAYER_ENTRIES, entry), most=MOST_LAYERS),
    "parameters": lambda value: _items(value, lambda entry: read(Source, _SOURCE_ENTRIES, entry)),
    "references": lambda value: _items(value, _text),
    "loss": _text,
}
"""How each field of a `Chain` is read."""
