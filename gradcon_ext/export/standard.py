"""Scores that engines are held against, and how far from them they are and may be."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gradcon_ext.detector.balance import TERMS, WEIGHTS
from gradcon_ext.detector.golden import Golden
from gradcon_ext.detector.golden_scores import noise
from gradcon_ext.detector.program import columns_of
from gradcon_ext.detector.stored_chain import Array, StoredChain, StoredTiles
from gradcon_ext.detector.tile_program import LAYERS
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.pt2 import program_of, tile_program_of
from gradcon_ext.export.settings import settings_of

TOLERANCE = 1e-5
"""Of a score, and relative to its size where that is above 1."""

_TIMES_ROUNDING = 4
_MOST = 1e-3


@dataclass(frozen=True)
class Standard:
    """Images and their scores, with the program of our op that makes them.

    Attributes:
        golden: images, uint8 arrays, and scores.
        program: makes the parts of the scores, on the CPU, in float32 unless the detector is of float64.
        single: the same in float32, as an engine may compute in either case.
        layers: of the columns of the cosine.
        terms: what the balanced score, if there is one, multiplies each of `TERMS` with.
        in_bytes: whether images are given as they are; as floating point from 0 to 1 otherwise.
    """

    golden: Golden
    program: nn.Module
    single: nn.Module
    layers: Sequence[str]
    terms: Mapping[str, float] | None = None
    in_bytes: bool = True

    def allowed(self) -> dict[str, float]:
        """Return how far the scores of another engine may be from these, by their columns.

        That is `TOLERANCE`, or, up to 0.001, four times as far as our op in float32 is from itself in float64: codes
        that hardly differ, for instance, are told apart by what float32 rounds away. The golden scores have no part in
        it.
        """
        exact = self._computed(copy.deepcopy(self.program).double(), torch.float64)
        own = columns_of(self._computed(self.single, torch.float32), self.layers)
        scores = np.stack([own[name] for name in self.golden.columns], 1)
        rounded = replace(self, golden=self.golden._replace(scores=scores)).differences(exact)
        return {name: max(TOLERANCE, min(_TIMES_ROUNDING * rounding, _MOST)) for name, rounding in rounded.items()}

    def differences(self, parts: Mapping[str, Array]) -> dict[str, float]:
        """Return how far scores are from these, by their columns: see `allowed`.

        Args:
            parts: of the scores of the images, by their names.

        Raises:
            ValueError: a part is missing, or has another number of scores or layers.
        """
        golden = self.golden
        expected = dict(zip(golden.columns, golden.scores.T, strict=True))
        missing = {"cosine", *(name for name in expected if not name.startswith("cosine."))} - parts.keys()
        if missing:
            raise ValueError(f"the engine computes no {', '.join(sorted(missing))}")
        shape = (len(golden.images), len(self.layers))
        if parts["cosine"].shape != shape:
            raise ValueError(f"the engine computes cosines {parts['cosine'].shape}; expected {shape}")
        given = columns_of(parts, self.layers)
        if unknown := expected.keys() - given.keys():
            raise ValueError(f"the golden scores are damaged: there is no {sorted(unknown)[0][:80]}")
        return {name: _largest(given[name], column, self._size(name, expected)) for name, column in expected.items()}

    def computed(self) -> dict[str, Array]:
        """Return the parts of the scores as our op makes them now."""
        return self._computed(self.program, next(self.program.buffers()).dtype)

    def _computed(self, program: nn.Module, dtype: torch.dtype) -> dict[str, Array]:
        images = torch.from_numpy(self.golden.images)
        with torch.no_grad():
            parts: dict[str, Tensor] = program(images if self.in_bytes else images.to(dtype) / 255)
        return {name: part.numpy() for name, part in parts.items()}

    def _size(self, name: str, columns: Mapping[str, Array]) -> Array:
        """What differences of a column are relative to; of the balanced score the size of what is added up."""
        if name != "balanced" or self.terms is None:
            return np.abs(columns[name])
        parts = {**columns, "reconstruction": columns["reconstruction"] + columns["latent"]}
        total: Array = np.sum([factor * np.abs(parts[part]) for part, factor in self.terms.items()], 0)
        return total


def standard_of(detector: StoredChain, golden: Golden) -> Standard:
    """Return what engines of a detector are held against, on single tiles where it scores those."""
    balance = detector.balance
    terms = None if balance is None else {part: balance.weights[part] / balance.scale[part] for part in TERMS}
    single = program_of(_in_float32(detector))
    return Standard(golden, program_of(detector), single, detector.chain.references, terms)


def standard_of_whole_images(detector: StoredChain, tiles: StoredTiles, golden: Golden) -> Standard:
    """The same of images that are scored by their tiles."""
    program = tile_program_of(detector, tiles)
    balance = program.settings.balance
    terms = None if balance is None else {part: WEIGHTS[part] / balance.scale[part] for part in TERMS}
    return Standard(golden, program, tile_program_of(_in_float32(detector), tiles), LAYERS, terms)


def standard_for(opened: Opened, detector: StoredChain, tiles: StoredTiles) -> Standard:
    """Return what an exported program of a detector of tiles is held against.

    That is the golden scores, if their images have the shape that it takes, and are not made smaller first: of bytes
    that makes other pixels than of floating point. Otherwise it is noise of that shape and kind, as our op scores it
    now.

    Raises:
        ValueError: our op takes no images of that shape, or what the file says of tiles is damaged.
    """
    _check_shape(opened.image_shape, detector.chain.image_shape[0])
    golden = tiles.golden
    as_they_are = opened.in_bytes or settings_of(detector, tiles).tiling.scale == 1
    if golden is not None and golden.images.shape[1:] == opened.image_shape and as_they_are:
        return standard_of_whole_images(detector, tiles, golden)
    images = noise(opened.image_shape).numpy()
    unscored = standard_of_whole_images(detector, tiles, Golden((), images, None))
    standard = replace(unscored, in_bytes=opened.in_bytes)
    columns = columns_of(standard.computed(), LAYERS)
    return replace(standard, golden=Golden(list(columns), images, np.stack(list(columns.values()), 1)))


def _in_float32(detector: StoredChain) -> StoredChain:
    parameters, references = (
        [np.asarray(array, np.float32) for array in arrays] for arrays in (detector.parameters, detector.references)
    )
    return detector._replace(parameters=parameters, references=references)


def _check_shape(shape: Sequence[object], channels: int) -> None:
    """Raise ValueError unless it is (C, H, W) with so many channels: a foreign program may leave any of them open."""
    sizes = [length for length in shape if isinstance(length, int) and length > 0]
    if not len(shape) == len(sizes) == 3 or shape[0] != channels:
        raise ValueError(f"the file scores images of the shape {tuple(shape)}; expected ({channels}, height, width)")


def _largest(given: Array, expected: Array, size: Array) -> float:
    difference = np.abs(given.astype(np.float64) - expected) / np.maximum(1, size)
    return float(np.nan_to_num(difference, nan=np.inf).max())
