"""Tiles on a grid that covers an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.pixels import as_floats, check_dtype, check_pixels, is_bytes

Pair = tuple[int, int]

FAINT = 0.02
"""Contrast, as a standard deviation of pixels from 0 to 1, below which even contrast makes less and less of it."""
DEVIATIONS = 8
"""How many standard deviations of a tile's pixels lie between black and white under even contrast."""


@dataclass(frozen=True)
class Tiling:
    """How images, or feature maps, are cut into tiles.

    A grid of tiles begins at the upper left corner and goes on by the stride; where that leaves a rest at the right or
    at the bottom, one more tile ends at that edge. So each pixel is in one tile at least, and no tile leaves the image.
    An image that is smaller than a tile is continued beyond its right and lower edge by its own reflection.

    Args:
        size: height and width of a tile in pixels, or one number for square tiles.
        stride: from one tile to the next, likewise; half the size, rounded up, by default.
        scale: what images are resized by first (bilinear, antialiased).
        even_contrast: whether each tile's pixels are then brought to one mean and contrast, so that light and shade of
            the whole image do not count; not for feature maps. Tiles are floating point then.

    Raises:
        ValueError: a size or a stride that is not positive, a stride beyond the size, or a scale that is not above 0
            and at most 1.
    """

    size: Pair
    stride: Pair
    scale: float
    even_contrast: bool

    def __init__(
        self, size: Size = 32, stride: Size | None = None, scale: float = 1.0, even_contrast: bool = False
    ) -> None:
        height, width = height_width(size)
        step = height_width((math.ceil(height / 2), math.ceil(width / 2)) if stride is None else stride)
        if step[0] > height or step[1] > width:
            raise ValueError(f"a stride of {step} would leave pixels between tiles of {(height, width)} uncovered")
        if not 0 < scale <= 1:
            raise ValueError(f"scale must be above 0 and at most 1, got {scale}")
        given = {"size": (height, width), "stride": step, "scale": float(scale), "even_contrast": bool(even_contrast)}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def facts(self) -> dict[str, Any]:
        """The arguments, as JSON can hold them."""
        return {**vars(self), "size": list(self.size), "stride": list(self.stride)}

    def __str__(self) -> str:
        scale = "" if self.scale == 1 else f" at {self.scale:g} times their size"
        return f"tiles of {self.size[0]}x{self.size[1]}, {self.stride[0]}x{self.stride[1]} apart{scale}"

    def grid(self, height: int, width: int) -> Pair:
        """Return how many rows and columns of tiles an image of this height and width has."""
        sides = zip(self.scaled(height, width), self.size, self.stride, strict=True)
        rows, columns = (len(_starts(*side)) for side in sides)
        return rows, columns

    def without_rest(self, rows: int, columns: int) -> Pair:
        """Return a height and width of images that such a grid of tiles covers without a rest."""
        counts = zip((rows, columns), self.size, self.stride, strict=True)
        height, width = (round((size + (count - 1) * stride) / self.scale) for count, size, stride in counts)
        return height, width

    def scaled(self, height: int, width: int) -> Pair:
        """Return the height and width of such an image after resizing; 1 at least."""
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))

    def pixels(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return which rows and columns of such an image, resized, each row and each column of tiles has.

        int64 (rows of tiles, height of a tile) and (columns of tiles, width of a tile).
        """
        rows, columns = (
            _reflected(length, max(length, size))[_starts(length, size, stride)[:, None] + torch.arange(size)]
            for length, size, stride in zip(self.scaled(height, width), self.size, self.stride, strict=True)
        )
        return rows, columns

    def fits_in(self, height: int, width: int) -> bool:
        """Return whether a tile has room in what has been resized to this height and width."""
        return self.size[0] <= height and self.size[1] <= width

    def cut(self, image: Tensor, *, features: bool = False, index: int = 0) -> TiledImage:
        """Return the tiles of an image (C, H, W); they are views of it until they are read.

        Args:
            image: uint8, or floating point from 0 to 1.
            features: whether it is a feature map, whose values may be any finite ones.
            index: what an error calls the image.

        Raises:
            TypeError: no tensor, or another dtype.
            ValueError: another number of dimensions, values out of range, or even contrast of a feature map.
        """
        if not isinstance(image, Tensor):
            raise TypeError(f"image {index} is a {type(image).__name__}; expected a tensor (C, H, W)")
        check_dtype(image, f"image {index}")
        if image.dim() != 3 or 0 in image.shape:
            raise ValueError(f"image {index} has shape {tuple(image.shape)}; expected (C, H, W)")
        if not is_bytes(image):
            check_pixels(image[None], index, features)
        if features and self.even_contrast:
            raise ValueError("feature maps have no contrast to be made even")
        return TiledImage(image if is_bytes(image) else image.detach().float(), self)

    def cut_all(self, images: Tensor) -> Tensor:
        """Return the tiles (N * rows * columns, C, height, width) of images (N, C, H, W), image by image, row by row.

        They are those of `cut`, all in memory, and made without a look at the values, as a program that is exported is.
        """
        resized = _resized(images, self.scaled(*images.shape[2:]))
        rows, columns = (each.to(images.device) for each in self.pixels(*images.shape[2:]))
        tiles = resized[:, :, rows][..., columns].permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return _even(as_floats(tiles)) if self.even_contrast else tiles


class TiledImage(ImageDataset):
    """The tiles of one image, row by row; made by `Tiling.cut`.

    Attributes:
        shape: (C, H, W) of every tile.
        image_size: height and width of the image.
        scaled_size: the same after resizing.
        tops: where the rows of tiles begin in the resized image, int64 (rows,).
        lefts: where the columns do, int64 (columns,).
    """

    def __init__(self, image: Tensor, tiling: Tiling) -> None:
        self.tiling = tiling
        height, width = tiling.size
        self.shape = (len(image), height, width)
        self.image_size = (image.shape[1], image.shape[2])
        self.scaled_size = tiling.scaled(*self.image_size)
        pixels = _continued(_resized(image[None], self.scaled_size)[0], tiling.size)
        self.tops = _starts(pixels.shape[1], height, tiling.stride[0])
        self.lefts = _starts(pixels.shape[2], width, tiling.stride[1])
        # A view of a tile at each pixel: (rows of pixels, columns of pixels, C, height, width).
        self._windows = pixels.unfold(1, height, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4)

    @property
    def grid(self) -> Pair:
        """How many rows and columns of tiles there are."""
        return len(self.tops), len(self.lefts)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tops) * len(self.lefts)

    def stored(self, index: int) -> Tensor:
        """Return one tile (C, H, W)."""
        return self.stored_take(torch.tensor([index]))[0]

    def stored_take(self, indices: Tensor) -> Tensor:
        """Return the tiles (n, C, H, W) at the int64 `indices` (n,)."""
        columns = len(self.lefts)
        return self.at(self.tops[indices // columns], self.lefts[indices % columns])

    def at(self, tops: Tensor, lefts: Tensor) -> Tensor:
        """Return the tiles (n, C, H, W) that begin at such pixels of the resized image, int64 (n,) each."""
        tiles = self._windows[tops, lefts]
        return _even(as_floats(tiles)) if self.tiling.even_contrast else tiles


def _starts(length: int, size: int, stride: int) -> Tensor:
    """Where tiles begin along one axis; a single one at 0 where the axis is no longer than a tile."""
    last = max(length - size, 0)
    return torch.tensor([*range(0, last, stride), last])


def _resized(images: Tensor, size: Pair) -> Tensor:
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def _continued(image: Tensor, least: Pair) -> Tensor:
    """An image of at least that size, by reflection; more than once where it is much smaller."""
    rows, columns = (_reflected(have, max(have, want)) for have, want in zip(image.shape[1:], least, strict=True))
    return image if (len(rows), len(columns)) == image.shape[1:] else image[:, rows][:, :, columns]


def _reflected(length: int, wanted: int) -> Tensor:
    """Indices 0, 1, ..., length - 1, length - 2, ... 1, 0, 1, ..."""
    period = max(2 * (length - 1), 1)
    position = torch.arange(wanted) % period
    return torch.minimum(position, period - position)


def _even(tiles: Tensor) -> Tensor:
    shifted = tiles - tiles[:, :, :1, :1]  # exactly zero where there is no contrast, whose mean is then not rounded
    centered = shifted - shifted.mean((2, 3), keepdim=True)
    deviation = centered.std((1, 2, 3), correction=0, keepdim=True)
    return (0.5 + centered / ((deviation + FAINT) * DEVIATIONS)).clamp_(0, 1)
