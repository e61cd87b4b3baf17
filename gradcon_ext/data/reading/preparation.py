"""What is done to an image before a network takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.reading.decoded import Decoded
from gradcon_ext.data.reading.fitting import Fit, fitted_image, fitted_planes
from gradcon_ext.data.reading.parallel import AHEAD
from gradcon_ext.data.reading.preparation_facts import IMAGE, OF_TILES, check_preparation

BYTES = (0.0, 255.0)
_FULL_SCALE = {"uint8": BYTES, "uint16": (0.0, 65535.0), "float32": (0.0, 1.0)}
_LUMA = np.array([299, 587, 114], np.float32) / 1000  # ITU-R 601-2, which Pillow makes grey with
_MODES = {1: "L", 3: "RGB"}
_MOST_NUMBERS = 1 << 28
"""Of images in memory together."""


class Prepared(NamedTuple):
    """An image as a network takes it.

    Attributes:
        pixels: (C, H, W), uint8 from 0 to 255 or float32 from 0 to 1.
        beyond: least and greatest value of an image that leaves the range, where it was clipped; None of any other.
    """

    pixels: Array
    beyond: tuple[float, float] | None


@dataclass(frozen=True)
class Preparation:
    """How images are brought to what a network takes; among the facts of a detector, so that all are alike.

    Attributes:
        channels: 1 for grey, 3 for red, green and blue.
        size: height and width; None leaves each image at its own.
        fit: "squash", "pad" or "crop"; see `placement`.
        range: the values that become 0 and 1; None is the full scale of each file: 255, 65535 or, of floating point, 1.
        background: red, green and blue from 0 to 255 of what shows through where an image is transparent, and of
            borders; with None opacity is ignored and borders are black.
        frame: which one of a file of several, counted from 0, or "all".
        reduced_jpeg: whether a JPEG is decoded at a half, a quarter or an eighth of its size where that leaves twice
            the height and width that are needed.
        max_pixels: more are not decoded, by default than `PIL.Image.MAX_IMAGE_PIXELS`. It changes no pixel, and so is
            no fact of a detector.
    """

    channels: int
    size: tuple[int, int] | None
    fit: Fit = "squash"
    range: tuple[float, float] | None = None
    background: tuple[int, int, int] | None = None
    frame: int | Literal["all"] = 0
    reduced_jpeg: bool = False
    max_pixels: int | None = None

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Preparation:
        """Read the facts of a detector; what is absent means what it did before there was such a fact.

        Of a detector of tiles, channels and size are those of a tile or of its feature maps; those of the images are
        under "image", whose size is None where each image has its own, as they are where there is no "image".

        Raises:
            ValueError: channels or size are missing, or a fact is unknown, of another type or out of range.
        """
        check_preparation(facts)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts.items()
            if name not in OF_TILES
        }
        if given.get("range") is not None:
            given["range"] = tuple(map(float, given["range"]))
        whole = {"channels": facts["channels"], "size": None if "tiles" in facts else facts["size"]}
        image = facts.get(IMAGE, whole)
        size = None if image["size"] is None else height_width(image["size"])
        return cls(**{**given, "channels": image["channels"], "size": size})

    def facts(self) -> dict[str, Any]:
        """What `read` reads of a detector of whole images, as JSON holds it; what is as it always was, is absent."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        del values["max_pixels"]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }

    @property
    def enough(self) -> tuple[int, int] | None:
        """Width and height that a JPEG may be reduced to, whichever way up it lies; None is its own."""
        if self.size is None or not self.reduced_jpeg:
            return None
        longest = 2 * max(self.size)
        return longest, longest

    @property
    def ahead(self) -> int:
        """Images a thread may read ahead: few of images that are left as large as they are."""
        return 1 if self.size is None else AHEAD

    def at_once(self, most: int) -> int:
        """Images that are to be in memory together: of any sizes one, and of large ones a divisor of that many.

        So batches end where they would, and blocks of a multiple of them are cut alike.
        """
        if self.size is None:
            return 1
        fitting = max(1, _MOST_NUMBERS // (self.channels * self.size[0] * self.size[1]))
        return next(count for count in range(min(most, fitting), 0, -1) if most % count == 0)

    @property
    def levels(self) -> int:
        """The greatest level of 16 bits that holds each step of an integer range as a whole number of levels."""
        low, high = self.range or (0.0, 1.0)
        span = high - low
        return 65535 // int(span) * int(span) if span == int(span) and span <= 65535 else 65535

    def prepare(self, decoded: Decoded) -> Prepared:
        """Bring an image to its channels, its size and its range.

        Raises:
            ValueError: a range of more than 8 bits and an image of 8; a range of 8 bits or more in whole numbers, and
                floating point within 0 to 1; or floating point beyond 0 to 1, and no range.
        """
        pixels = decoded.pixels
        if isinstance(pixels, Image.Image):
            if self.range in (None, BYTES):
                return Prepared(self._prepared_bytes(pixels), None)
            pixels = np.atleast_3d(np.asarray(pixels)).transpose(2, 0, 1)
        return self._prepared_planes(pixels)

    def _prepared_bytes(self, image: Image.Image) -> Array:
        if self.channels not in _MODES:
            raise ValueError(f"an image file has 1 or 3 channels; expected {self.channels}")
        mode = _MODES[self.channels]
        if self.background is not None and image.mode in ("LA", "RGBA"):
            base = Image.new("RGBA", image.size, self.background)
            base.alpha_composite(image.convert("RGBA"))
            image = base
        if image.mode != mode:  # or Pillow would make a copy
            image = image.convert(mode)
        border = Image.new("RGB", (1, 1), self.background or (0, 0, 0)).convert(mode).getpixel((0, 0))
        height, width = self.size or image.size[::-1]
        fitted = fitted_image(image, self.fit, (width, height), border)  # type: ignore[arg-type]  # no pixel is None
        return np.array(fitted).reshape(height, width, self.channels).transpose(2, 0, 1).copy()

    def _prepared_planes(self, pixels: Array) -> Prepared:
        low, high = self._range_of(pixels)
        background = np.array(self.background or (0, 0, 0), np.float32) / 255 * (high - low) + low
        if pixels.dtype == np.uint8 and (low, high) == BYTES and len(pixels) == self.channels:
            return Prepared(self._fitted(pixels, background.round().astype(np.uint8)), None)
        has_opacity = len(pixels) in (2, 4) and len(pixels) != self.channels
        colours = pixels[:-1] if has_opacity else pixels
        least, greatest = float(colours.min()), float(colours.max())
        if pixels.dtype == np.float32 and _is_of_integers(low, high) and 0 <= least <= greatest <= 1 and greatest > 0:
            raise ValueError(
                f"floating-point pixels from {least:g} to {greatest:g}; "
                f"expected values in the range {low:g} to {high:g}"
            )
        planes = colours.astype(np.float32)
        if has_opacity and self.background is not None:
            opacity = pixels[-1].astype(np.float32) / _FULL_SCALE[pixels.dtype.name][1]
            planes = _with_channels(planes, 3) * opacity + background[:, None, None] * (1 - opacity)
        planes = self._fitted(_with_channels(planes, self.channels), background)
        scaled = np.clip((planes - np.float32(low)) / np.float32(high - low), 0, 1)
        return Prepared(scaled, None if low <= least and greatest <= high else (least, greatest))

    def _range_of(self, pixels: Array) -> tuple[float, float]:
        low, high = self.range or _FULL_SCALE[pixels.dtype.name]
        if pixels.dtype == np.uint8 and high > 255:
            raise ValueError(f"8 bits a channel; expected values in the range {low:g} to {high:g}")
        if self.range is None and pixels.dtype == np.float32 and not 0 <= pixels.min() <= pixels.max() <= 1:
            raise ValueError(
                f"floating-point pixels from {pixels.min():g} to {pixels.max():g}; expected 0 to 1, or a range"
            )
        return low, high

    def _fitted(self, planes: Array, border: Array) -> Array:
        """Fit planes; the border is red, green and blue in their dtype."""
        height, width = self.size or planes.shape[1:]
        if planes.shape[1:] == (height, width):
            return planes
        border = _with_channels(border, len(planes)) if len(planes) in _MODES else np.zeros(len(planes))
        return fitted_planes(planes, self.fit, (width, height), border)


def _is_of_integers(low: float, high: float) -> bool:
    """Whether a range is one of 8 bits or more in whole numbers, of which 0 to 1 is next to nothing."""
    return high >= 255 and low % 1 == high % 1 == 0


def _with_channels(planes: Array, channels: int) -> Array:
    """Planes, or numbers, of one or three channels as grey or as red, green and blue."""
    if len(planes) == channels:
        return planes
    if len(planes) not in _MODES or channels not in _MODES:
        raise ValueError(f"an image of {len(planes)} channels; expected {channels}")
    if channels == 3:
        return np.repeat(planes, 3, axis=0)
    return np.tensordot(_LUMA, planes, 1)[None].astype(planes.dtype)
