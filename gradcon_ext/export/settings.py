"""What the program of a detector is for: images of which shape, and how they are cut into tiles."""

from __future__ import annotations

import torch

from gradcon_ext.chain.layer import Shape
from gradcon_ext.detector.stored_chain import StoredChain, StoredTiles
from gradcon_ext.detector.tile_settings import TileSettings, tiled_size


def exported_shape(detector: StoredChain, size: tuple[int, int] | None) -> Shape:
    """Return (C, H, W) of the images, or feature maps, that a program of a detector takes.

    Args:
        detector: of whole images or of tiles.
        size: H and W; needed where the detector takes images of any size.

    Raises:
        ValueError: a size that is missing, or another than that of the detector.
    """
    channels, *own = detector.chain.image_shape
    known = (own[0], own[1]) if detector.tiles is None else tiled_size(detector.preprocessing)
    if known is None and size is None:
        raise ValueError("the detector scores images of any size, and a program those of one: give --size HEIGHTxWIDTH")
    if known is not None and size not in (None, known):
        raise ValueError(f"the detector scores what has {known[0]}x{known[1]} pixels or positions alone, as --size")
    height, width = known or size or own
    return channels, height, width


def settings_of(detector: StoredChain, tiles: StoredTiles) -> TileSettings:
    """Return how a detector cuts images into tiles, and makes their scores of those of the tiles.

    Raises:
        ValueError: what its file says of it is damaged, or does not fit its model.
    """
    settings = TileSettings.read(tiles.facts, {name: torch.from_numpy(array) for name, array in tiles.arrays.items()})
    tile, given = settings.tiling.size, detector.chain.image_shape[1:]
    if tile != given:
        raise ValueError(f"the detector's tiles are {tile[0]}x{tile[1]}, and its model takes {given[0]}x{given[1]}")
    if detector.takes_features and settings.tiling.even_contrast:
        raise ValueError("feature maps have no contrast to be made even")
    if settings.balance is not None:
        settings.balance.check_size(detector.chain.code_size)
    return settings
