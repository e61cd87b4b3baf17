"""Maps as heat maps over their images, all on one scale, so that pictures can be compared."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gradcon_ext.data.pixels import as_floats

_COLOURS = "inferno"
"""A colour map of matplotlib: perceptually uniform, and brighter is more for every kind of colour vision."""
_MIDDLE, _HIGH = 50, 99.5
"""Percentiles of a map's values: the middle, and what is all but its highest."""
_OF_IMAGES = 90
"""Percentile over images of the latter: single ones that are far off do not darken all others."""
_FAINTEST, _STRONGEST = 0.15, 0.75

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """The values that are drawn darkest and brightest; what lies beyond is drawn as they are."""

    low: float
    high: float

    def place(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Where values lie between the two, from 0 to 1: the root of the share of the way, so that weak ones show."""
        span = self.high - self.low
        return np.sqrt(np.clip((values - self.low) / span, 0, 1)) if span > 0 else np.zeros_like(values)


def extents_of(maps: Tensor) -> list[tuple[float, float]]:
    """Of maps (N, H, W), the middle and all but the highest value of each, for `common_scale`.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not maps.isfinite().all():
        raise ValueError("a map holds values that are NaN or infinite, which cannot be drawn")
    low, high = np.percentile(maps.flatten(1).numpy(), (_MIDDLE, _HIGH), axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def common_scale(extents: Iterable[tuple[float, float]]) -> Scale:
    """Return one scale for all images: from their middle values to those that few images exceed.

    Args:
        extents: of at least one image, as `extents_of` returns them.
    """
    lows, highs = zip(*extents, strict=True)
    return Scale(float(np.median(lows)), float(np.percentile(highs, _OF_IMAGES)))


def overlay(image: Tensor, values: Tensor, scale: Scale) -> Pixels:
    """Draw a map over its image, in grey, the stronger the higher.

    Args:
        image: (C, H, W), uint8 or floating point from 0 to 1.
        values: of the map, (H, W).
        scale: of all maps that are to be compared.

    Returns:
        Red, green and blue, (H, W, 3).
    """
    place = scale.place(values.numpy())
    grey = as_floats(image).mean(0).numpy()[..., None]
    strength = (_FAINTEST + (_STRONGEST - _FAINTEST) * place)[..., None]
    mixed = grey * (1 - strength) + _table()[(place * 255).round().astype(np.intp)] * strength
    return _as_bytes(mixed)


def picture(image: Tensor) -> Pixels:
    """Return an image (C, H, W) as red, green and blue, (H, W, 3)."""
    return _as_bytes(as_floats(image).expand(3, -1, -1).numpy().transpose(1, 2, 0))


def colour_bar() -> Pixels:
    """Return the colours from low to high, (1, 256, 3)."""
    return _as_bytes(_table()[None])


def as_png(pixels: Pixels, longest_side: int | None = None) -> bytes:
    """Return a picture (H, W, 3) as a PNG file, shrunk where a side is longer than that."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    signature = PngInfo()
    signature.add_text("Software", "gradcon_ext")
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    if longest_side is not None:
        image.thumbnail((longest_side, longest_side))
    image.save(stream, "PNG", pnginfo=signature)
    return stream.getvalue()


@cache
def _table() -> npt.NDArray[np.floating]:
    """Red, green and blue of 256 places, (256, 3)."""
    from matplotlib import colormaps  # slow to import, and needed here alone

    return np.asarray(colormaps[_COLOURS](np.arange(256)))[:, :3]


def _as_bytes(pixels: npt.NDArray[np.floating]) -> Pixels:
    whole: Pixels = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
    return whole
