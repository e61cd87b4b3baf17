"""Small detectors that score images by their tiles."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gradcon_ext import Detector, Tiling, balanced_tiles, calibrated, scorer_of
from gradcon_ext.detector.stored_chain import StoredChain, read_stored_chain
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.scores import Scores
from gradcon_ext.tiles import Pooling

COLUMNS = ("reconstruction", "latent", "cosine", "gradient", "anomaly", "direction", "code", "balanced")
MOST = 1e-3
"""That rounding is taken to explain."""


def images_of(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Random images, the same each time: of a texture with some light and shade."""
    generator = torch.Generator().manual_seed(seed)
    shade = torch.rand(count, 1, 1, 1, generator=generator)
    return torch.rand(count, *shape, generator=generator) * (0.5 + 0.5 * shade)


def untrained(model: nn.Module | None = None, seed: int = 0) -> Detector:
    """A detector of single tiles, with random weights and references."""
    torch.manual_seed(seed)
    model = (model or ConvAutoencoder(1, 8, width=4)).eval()
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    references = {name: torch.randn_like(model.get_parameter(name)) for name in names}
    return Detector(model, references, 1, preprocessing={"channels": model.channels, "size": list(model.size)})


def tiled(
    tiling: Tiling,
    shape: tuple[int, int, int],
    pooling: str = "largest:3",
    by_place: bool = True,
    detector: Detector | None = None,
) -> Detector:
    """A balanced and calibrated one of images of that shape."""
    train, held_out, others = (images_of(count, shape, count) for count in (30, 6, 19))
    balanced = balanced_tiles(
        detector or untrained(),
        tiling,
        train,
        held_out,
        by_place=by_place,
        directions=4,
        pooling=Pooling.parse(pooling),
    )
    return calibrated(balanced, others, "balanced", 0.3)


def stored(detector: Detector, folder: Path) -> StoredChain:
    """What the file of a detector holds."""
    detector.save(folder / "detector.safetensors")
    return read_stored_chain(folder)[1]


def rounding_of(detector: Detector, images: Tensor) -> dict[str, float]:
    """A few times as far as scores in float32 are from those in float64, relative where they are above 1."""
    double = replace(
        detector,
        model=copy.deepcopy(detector.model).double(),
        references={name: reference.double() for name, reference in detector.references.items()},
        extra={name: tensor.double() for name, tensor in detector.extra.items()},
    )
    single, exact = scorer_of(detector).score(list(images)), scorer_of(double).score(list(images))
    return {name: min(4 * _largest(single, exact, name), MOST) for name in COLUMNS if getattr(single, name) is not None}


def _largest(given: Scores, expected: Scores, name: str) -> float:
    other = getattr(expected, name)
    return float(((getattr(given, name) - other).abs() / other.abs().clamp(min=1)).max())
