"""The golden scores of a detector, as they are made when it is saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcon_ext.chain.chain import Chain
from gradcon_ext.chain.tracing import parameters_of
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.golden import Golden
from gradcon_ext.detector.program import ScoreProgram, columns_of
from gradcon_ext.detector.tile_program import LAYERS, TileProgram
from gradcon_ext.detector.tile_settings import TileSettings, tiled_size

if TYPE_CHECKING:
    from gradcon_ext.detector.detector import Detector

_MOST_IMAGES, _MOST_NUMBERS = 4, 1 << 20
"""Which are to add little to a file; of large images there are fewer."""
_SEED = 0
_GRID = (2, 3)
"""Rows and columns of tiles where any will do."""


def golden_of(detector: Detector, chain: Chain) -> dict[str, Golden]:
    """Return them by the kinds of `gradcon_ext.detector.golden.TENSORS`.

    Args:
        detector: that is saved.
        chain: its model, as layers.
    """
    parameters = [parameter.cpu() for parameter in parameters_of(chain, detector.model)]
    like = parameters[0]
    references = [reference.to(like) for reference in detector.references.values()]
    balance = None if detector.balance is None else detector.balance.on(like.device)
    program = ScoreProgram(chain, parameters, references, detector.alpha, balance)
    golden = {"columns": noise_scores(program, chain.image_shape, chain.references)}
    if scores_tiles(detector.preprocessing):
        try:
            golden["whole"] = _of_whole_images(detector, program, chain)
        except ValueError:
            # What it says of tiles is damaged or does not fit: nothing scores images with it, and all say why.
            return golden
    return golden


def noise_scores(
    program: Callable[[Tensor], Mapping[str, Tensor]], image_shape: Sequence[int], layers: Sequence[str]
) -> Golden:
    """Score a few images of noise, the same each time.

    Args:
        program: makes the parts of the scores of uint8 images; on the CPU.
        image_shape: (C, H, W) of them.
        layers: of the columns of the cosine.
    """
    images = noise(image_shape)
    with torch.no_grad():
        columns = columns_of(program(images), layers)
    return Golden(list(columns), images, torch.stack(list(columns.values()), 1))


def noise(image_shape: Sequence[int]) -> Tensor:
    """Return a few images of noise, uint8 (n, C, H, W), the same each time."""
    generator = torch.Generator().manual_seed(_SEED)
    count = max(1, min(_MOST_IMAGES, _MOST_NUMBERS // math.prod(image_shape)))
    return torch.randint(0, 256, (count, *image_shape), generator=generator, dtype=torch.uint8, device="cpu")


def _of_whole_images(detector: Detector, of_tiles: ScoreProgram, chain: Chain) -> Golden:
    settings = TileSettings.read(detector.preprocessing["tiles"], detector.extra)
    balance = settings.balance
    channels, any_will_do = chain.image_shape[0], balance is None or balance.grid is None
    size = tiled_size(detector.preprocessing)
    if size is None or (any_will_do and channels * math.prod(size) > _MOST_NUMBERS):
        grid = _GRID if balance is None or balance.grid is None else balance.grid
        size = settings.tiling.without_rest(*grid)
    return noise_scores(TileProgram(of_tiles, settings), (channels, *size), LAYERS)
