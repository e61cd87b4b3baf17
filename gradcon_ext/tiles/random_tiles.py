"""Tiles at random places, to train on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gradcon_ext.data.pixels import as_floats
from gradcon_ext.tiles.tiling import Tiling


def random_tiles(
    images: Iterable[Tensor], tiling: Tiling, per_image: int, seed: int = 0, *, features: bool = False
) -> Tensor:
    """Cut tiles (N, C, H, W) at random places, as many from each image; the same seed gives the same.

    Every place within an image is as likely. Images are looked at one at a time, so memory holds the tiles alone, which
    are uint8 where all images are, and floating point otherwise.

    Args:
        images: (C, H, W), uint8 or floating point from 0 to 1; of any sizes.
        tiling: of which the stride does not matter.
        per_image: how many tiles of each image.
        seed: of the places.
        features: whether they are feature maps, whose values may be any finite ones.

    Raises:
        TypeError: an image that is no tensor, or of another dtype.
        ValueError: no images, less than one tile an image, images that differ in channels, or values out of range.
    """
    if per_image < 1:
        raise ValueError(f"per_image must be at least 1, got {per_image}")
    generator = torch.Generator().manual_seed(seed)
    parts: list[Tensor] = []
    for index, image in enumerate(images):
        tiles = tiling.cut(image, features=features, index=index)
        tops, lefts = (
            torch.randint(int(starts[-1]) + 1, (per_image,), generator=generator)
            for starts in (tiles.tops, tiles.lefts)
        )
        parts.append(tiles.at(tops, lefts).cpu())
        if parts[0].shape != parts[-1].shape:
            first, other = (f"{part.shape[1]} channels" for part in (parts[0], parts[-1]))
            raise ValueError(f"image {index} has {other}; the first one has {first}")
    if not parts:
        raise ValueError("there are no images to cut tiles from")
    if len({part.dtype for part in parts}) > 1:
        parts = [as_floats(part) for part in parts]
    return torch.cat(parts)
