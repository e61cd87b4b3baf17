"""What a detector's file holds beside its numbers, with torch and without. Imports neither torch nor numpy."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from gradcon_ext.chain import Chain
from gradcon_ext.header import check_facts

KIND = "detector"
FORMAT_VERSION = 1
MODEL = "model."
"""What the names of a model's tensors begin with,"""
REFERENCE = "reference."
"""and those of the references."""

_TYPES = {
    "architecture": dict | None,
    "layers": list,
    "count": int,
    "alpha": int | float,
    "preprocessing": dict,
    "training": dict,
    "chain": dict | None,
}


def checked(path: str | os.PathLike[str], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts in the header of a detector's file; the chain is None in one that was written before there were.

    Raises:
        ValueError: a fact is missing, of another type or out of range; the message names the file.
    """
    facts = {"chain": None, **header}
    check_facts(path, facts, _TYPES)
    if not facts["layers"] or facts["count"] < 0 or not 0 <= facts["alpha"] < math.inf:
        given = f"layers = {facts['layers']}, count = {facts['count']}, alpha = {facts['alpha']}"
        raise ValueError(
            f"{path}: expected one or more layers, and a count and a finite alpha of at least 0, got {given}"
        )
    return facts


def chain_of(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> Chain | None:
    """Return the chain of layers that a detector's model is, if it is one.

    Raises:
        ValueError: it cannot be read; the message names the file.
    """
    if facts["chain"] is None:
        return None
    try:
        return Chain.from_json(facts["chain"])
    except ValueError as error:
        raise ValueError(f"{path}: chain: {error}") from error
