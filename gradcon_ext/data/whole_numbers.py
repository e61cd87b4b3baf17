"""Whole numbers among arguments, also those that numpy makes."""

from __future__ import annotations

from numbers import Integral
from typing import TypeGuard


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether a value is an integer, of Python or numpy, of at least so much; a truth value is none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
