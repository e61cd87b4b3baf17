"""All that scores images with a detector's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradcon_ext import runtime
from gradcon_ext.detector.stored_chain import Array, StoredChain
from gradcon_ext.export.onnx_file import open_onnx
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.pt2 import open_compiled, open_pt2, program_of
from gradcon_ext.losses import SampleLosses
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores

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
"""Engines of this package, which score with a detector's file itself: single tiles of a detector of those."""

EXPORTED: dict[str, Callable[[Path], Opened]] = {
    "onnx": open_onnx,
    "pt2": open_pt2,
    "aoti": open_compiled,
}
"""Engines that score with a file that was exported."""


def _named(scores: Scores | runtime.Scores) -> dict[str, Any]:
    parts = {name: getattr(scores, name) for name in _OWN}
    return {name: part for name, part in parts.items() if part is not None}
