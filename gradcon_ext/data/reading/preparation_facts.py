"""Which facts of a preparation make sense, as they are read from a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from gradcon_ext.data.reading.fitting import Fit

IMAGE = "image"
"""Among the facts of a detector of tiles, the channels and the size of its images."""
OF_TILES = (IMAGE, "tiles", "features")
"""Facts that only a detector of tiles has; of the last two, it is their readers who check them."""


def check_preparation(facts: Mapping[str, Any]) -> None:
    """Raise ValueError where channels or size are missing, or a fact is unknown, of another type or out of range."""
    if unknown := sorted(facts.keys() - _CHECKS.keys()):
        raise ValueError(f"preprocessing has {unknown[0]!r}, which this version does not know")
    if missing := [name for name in ("channels", "size") if name not in facts]:
        raise ValueError(f"preprocessing does not say its {missing[0]}")
    for name, value in facts.items():
        if not _CHECKS[name](value):
            raise ValueError(f"preprocessing has {name} = {str(value)[:80]!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    lengths = value if isinstance(value, list | tuple) else [value]
    return len(lengths) in (1, 2) and all(_is_whole(length) and length >= 1 for length in lengths)


def _is_image(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"channels", "size"}:
        return False
    return _is_count(value["channels"]) and (value["size"] is None or _is_size(value["size"]))


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 1


def _is_range(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    if not all((_is_whole(bound) or isinstance(bound, float)) and math.isfinite(bound) for bound in value):
        return False
    return bool(value[0] < value[1] and math.isfinite(value[1] - value[0]))


def _is_background(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(_is_whole(level) and 0 <= level <= 255 for level in value)
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "channels": _is_count,
    "size": _is_size,
    "fit": lambda value: value in get_args(Fit),
    "range": lambda value: value is None or _is_range(value),
    "background": lambda value: value is None or _is_background(value),
    "frame": lambda value: value == "all" or (_is_whole(value) and value >= 0),
    "reduced_jpeg": lambda value: isinstance(value, bool),
    IMAGE: _is_image,
    "tiles": lambda value: isinstance(value, dict),
    "features": lambda value: isinstance(value, dict),
}
