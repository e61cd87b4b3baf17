"""Golden scores: those of a few images of noise, by which any engine that runs a detector can be checked.

Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gradcon_ext.storage.header import Stored

IMAGES, SCORES = "golden.images", "golden.scores"
"""What a detector's file calls their tensors."""


class Golden(NamedTuple):
    """Images and their scores.

    Attributes:
        columns: names of the scores; that of a layer's cosine is "cosine." and the name of its weight.
        images: uint8 (n, C, H, W).
        scores: float32 (n, columns).
    """

    columns: Sequence[str]
    images: Any
    scores: Any


def take_golden(facts: Mapping[str, Any], tensors: dict[str, Stored]) -> Golden | None:
    """Take the golden images and scores out of what a detector's file holds, if they are there.

    Args:
        facts: of the file, with None for "golden" where there are none.
        tensors: of the file, among which they are not left.

    Raises:
        ValueError: tensors are missing, or of other shapes or dtypes.
    """
    if facts["golden"] is None:
        return None
    columns = facts["golden"].get("columns")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"expected the columns of golden scores, got {str(facts['golden'])[:200]}")
    missing = [name for name in (IMAGES, SCORES) if name not in tensors]
    if missing:
        raise ValueError(f"there is no tensor {missing[0]}")
    images, scores = tensors.pop(IMAGES), tensors.pop(SCORES)
    if images.dtype != "uint8" or len(images.shape) != 4:
        raise ValueError(f"{IMAGES}: expected uint8 (n, C, H, W), got {images.dtype} {images.shape}")
    expected = (images.shape[0], len(columns))
    if scores.dtype != "float32" or scores.shape != expected:
        raise ValueError(f"{SCORES}: expected float32 {expected}, got {scores.dtype} {scores.shape}")
    return Golden(columns, images, scores)
