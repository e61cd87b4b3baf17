"""All that scores images with a detector's file, and how far its scores are from the golden ones in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcon_ext import runtime
from gradcon_ext.detector.balance import TERMS, Balance
from gradcon_ext.detector.golden import Golden
from gradcon_ext.detector.program import columns_of
from gradcon_ext.detector.stored_chain import Array, StoredChain
from gradcon_ext.export.onnx_file import run_onnx
from gradcon_ext.export.pt2 import program_of, run_compiled, run_pt2
from gradcon_ext.losses import SampleLosses
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores

TOLERANCE = 1e-5
"""Of a score, and relative to its size where that is above 1."""

_TIMES_ROUNDING = 4
_MOST = 1e-3

_OWN = ("reconstruction", "latent", "cosine", "gradient", "anomaly", "direction", "code", "balanced")


def fused(path: Path, detector: StoredChain, images: Array) -> Mapping[str, Array]:
    """Score uint8 images by the op `score_autoencoder`."""
    with torch.no_grad():
        return {name: part.numpy() for name, part in program_of(detector)(torch.from_numpy(images)).items()}


def without_torch(path: Path, detector: StoredChain, images: Array) -> Mapping[str, Array]:
    """Score them by `gradcon_ext.runtime`."""
    return _named(runtime.Scorer.load(path).score(images))


def any_model(path: Path, detector: StoredChain, images: Array) -> Mapping[str, Array]:
    """Score them by the model itself, which the file has to have the architecture of."""
    scorer = Scorer.load(path)
    known = scorer.loss

    def loss_of_another_name(output: Any, pixels: Tensor) -> SampleLosses:
        return known(output, pixels)

    other = Scorer(scorer.model, scorer.references, scorer.alpha, loss_of_another_name, scorer.balance)
    return {name: part.numpy() for name, part in _named(other.score(images)).items()}


OWN: dict[str, Callable[[Path, StoredChain, Array], Mapping[str, Array]]] = {
    "fused": fused,
    "runtime": without_torch,
    "any-model": any_model,
}
"""Engines of this package, which score with a detector's file itself."""

EXPORTED: dict[str, Callable[[Path, Array], Mapping[str, Array]]] = {
    "onnx": run_onnx,
    "pt2": run_pt2,
    "aoti": run_compiled,
}
"""Engines that score with a file that was exported."""


def allowed_differences(detector: StoredChain, golden: Golden) -> dict[str, float]:
    """Return how far the scores of another engine may be from the golden ones, by their columns.

    That is `TOLERANCE`, or, up to 0.001, four times as far as our op in float32 is from itself in float64: codes that
    hardly differ, for instance, are told apart by what float32 rounds away. The golden scores have no part in it.
    """
    with torch.no_grad():
        exact = program_of(detector).double()(torch.from_numpy(golden.images))
    given = columns_of(fused(Path(), detector, golden.images), detector.chain.references)
    own = golden._replace(scores=np.stack([given[name] for name in golden.columns], 1))
    rounded = largest_differences(detector, own, {name: part.numpy() for name, part in exact.items()})
    return {name: max(TOLERANCE, min(_TIMES_ROUNDING * rounding, _MOST)) for name, rounding in rounded.items()}


def largest_differences(detector: StoredChain, golden: Golden, parts: Mapping[str, Array]) -> dict[str, float]:
    """Return how far scores are from the golden ones, by their columns: see `allowed_differences`.

    Args:
        detector: of which the scores are.
        golden: its golden scores.
        parts: of the scores of its golden images, by their names.

    Raises:
        ValueError: a part is missing, or has another number of scores or layers.
    """
    expected = dict(zip(golden.columns, golden.scores.T, strict=True))
    missing = {"cosine", *(name for name in expected if not name.startswith("cosine."))} - parts.keys()
    if missing:
        raise ValueError(f"the engine computes no {', '.join(sorted(missing))}")
    layers = detector.chain.references
    shape = (len(golden.images), len(layers))
    if parts["cosine"].shape != shape:
        raise ValueError(f"the engine computes cosines {parts['cosine'].shape}; expected {shape}")
    given = columns_of(parts, layers)
    return {
        name: _largest(given[name], column, _size(name, expected, detector.balance))
        for name, column in expected.items()
    }


def _size(name: str, columns: Mapping[str, Array], balance: Balance | None) -> Array:
    """What differences of a column are relative to; of the balanced score the size of what is added up."""
    if name != "balanced" or balance is None:
        return np.abs(columns[name])
    parts = {**columns, "reconstruction": columns["reconstruction"] + columns["latent"]}
    terms = [balance.weights[part] * np.abs(parts[part]) / balance.scale[part] for part in TERMS]
    total: Array = np.sum(terms, 0)
    return total


def _largest(given: Array, expected: Array, size: Array) -> float:
    difference = np.abs(given.astype(np.float64) - expected) / np.maximum(1, size)
    return float(np.nan_to_num(difference, nan=np.inf).max())


def _named(scores: Scores | runtime.Scores) -> dict[str, Any]:
    parts = {name: getattr(scores, name) for name in _OWN}
    return {name: part for name, part in parts.items() if part is not None}
