"""Golden scores: those of a few images of noise, by which any engine that runs a detector can be checked.

Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gradcon_ext.storage.header import Stored

TENSORS = {"columns": ("golden.images", "golden.scores"), "whole": ("golden.whole.images", "golden.whole.scores")}
"""What a detector's file calls the images and the scores of each kind, by what it says of their columns.

The first are of what the model is given, which is single tiles where it scores those; then the second are of whole
images, scored by their tiles."""


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


def take_golden(facts: Mapping[str, Any], tensors: dict[str, Stored]) -> dict[str, Golden]:
    """Take the golden images and scores out of what a detector's file holds, by the kinds of `TENSORS` that are there.

    Args:
        facts: of the file, with None for "golden" where there are none.
        tensors: of the file, among which they are not left.

    Raises:
        ValueError: tensors are missing, or of other shapes or dtypes.
    """
    if facts["golden"] is None:
        return {}
    columns = {"columns": None, **facts["golden"]}
    if unknown := columns.keys() - TENSORS.keys():
        raise ValueError(f"expected golden scores of {', '.join(TENSORS)} alone, got {sorted(unknown)[0][:80]!r}")
    return {kind: _take(names, tensors, *TENSORS[kind]) for kind, names in columns.items()}


def _take(columns: Any, tensors: dict[str, Stored], of_images: str, of_scores: str) -> Golden:
    if not columns or not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"expected the columns of golden scores, got {str(columns)[:200]}")
    missing = [name for name in (of_images, of_scores) if name not in tensors]
    if missing:
        raise ValueError(f"there is no tensor {missing[0]}")
    images, scores = tensors.pop(of_images), tensors.pop(of_scores)
    if images.dtype != "uint8" or len(images.shape) != 4 or not images.shape[0]:
        raise ValueError(f"{of_images}: expected uint8 (n, C, H, W), one or more, got {images.dtype} {images.shape}")
    expected = (images.shape[0], len(columns))
    if scores.dtype != "float32" or scores.shape != expected:
        raise ValueError(f"{of_scores}: expected float32 {expected}, got {scores.dtype} {scores.shape}")
    return Golden(columns, images, scores)
