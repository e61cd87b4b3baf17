"""Synthetic damage of normal images, to ask what a detector notices before anybody has labelled a defect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gradcon_ext.challenges import CHALLENGES, challenge
from gradcon_ext.data.labelled import ImageArray

LEVEL = 2
"""Of the challenging conditions, of which 5 is the most severe; 1 changes hardly a pixel of a small image."""

_PATCH_AREA = 0.02, 0.15
_PATCH_ASPECT = 0.3, 3.3
_SCRATCH_LENGTH = 0.2, 0.6
_SCRATCH_WIDTH = 0.02, 0.05
_SMALLEST_CHALLENGED = 8


def kinds_for(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the kinds of damage that images of shape (C, H, W) can be given."""
    channels, *sides = shape
    challenged = CHALLENGES if channels in (1, 3) and min(sides) >= _SMALLEST_CHALLENGED else ()
    return (*challenged, *_OWN)


def damage(images: ImageArray, kind: str, seed: int = 0) -> ImageArray:
    """Return images with one kind of damage each.

    The kinds are the twelve of `gradcon_ext.challenges` at a low level; "patches", a part of the image pasted elsewhere
    in it, as in Li, Sohn, Yoon and Pfister (2021), CutPaste: Self-Supervised Learning for Anomaly Detection and
    Localization; and "scratches", a thin straight line, darker or brighter than what it runs over.

    Args:
        images: uint8 (N, C, H, W).
        kind: one of `kinds_for` of their shape.
        seed: not negative; what is random depends on it and on the index of an image alone.

    Raises:
        TypeError: another dtype than uint8.
        ValueError: another number of dimensions, or no such kind for such images.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images have dtype {images.dtype}; expected uint8")
    if images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}; expected (N, C, H, W)")
    if kind not in kinds_for(images.shape[1:]):
        raise ValueError(f"no damage {kind!r} of images (C, H, W) = {images.shape[1:]}")
    if kind in CHALLENGES:
        return challenge(images, kind, LEVEL, seed)
    damaged = images.copy()
    for index, image in enumerate(damaged):
        _OWN[kind](image, np.random.default_rng((seed, index)))
    return damaged


def _patch(image: ImageArray, generator: np.random.Generator) -> None:
    _, height, width = image.shape
    area = generator.uniform(*_PATCH_AREA) * height * width
    aspect = np.exp(generator.uniform(*np.log(_PATCH_ASPECT)))
    sides = (_within(np.sqrt(area * aspect), height), _within(np.sqrt(area / aspect), width))
    spans = [range(size - side + 1) for size, side in zip((height, width), sides, strict=True)]
    (top, to_top), (left, to_left) = (generator.choice(span, 2) for span in spans)
    patch = image[:, top : top + sides[0], left : left + sides[1]].copy()
    image[:, to_top : to_top + sides[0], to_left : to_left + sides[1]] = patch


def _scratch(image: ImageArray, generator: np.random.Generator) -> None:
    _, height, width = image.shape
    middle = generator.uniform((0.0, 0.0), (height, width))
    angle = generator.uniform(0, np.pi)
    along = np.array([np.sin(angle), np.cos(angle)])
    half_length = generator.uniform(*_SCRATCH_LENGTH) * max(height, width) / 2
    half_width = max(0.5, generator.uniform(*_SCRATCH_WIDTH) * max(height, width) / 2)
    rows, columns = np.indices((height, width)) + 0.5
    apart = np.stack([rows - middle[0], columns - middle[1]], -1)
    is_on = (abs(apart @ along) <= half_length) & (abs(apart @ np.array([along[1], -along[0]])) <= half_width)
    # Away from the brightness that is there, so that a scratch shows on black as well as on white.
    shift = generator.uniform(0.2, 0.5) * (-1 if image[:, is_on].mean() > 127 else 1) * 255 if is_on.any() else 0.0
    image[:, is_on] = np.clip(image[:, is_on] + shift, 0, 255).astype(np.uint8)


def _within(side: npt.NDArray[np.floating] | float, most: int) -> int:
    return int(np.clip(round(float(side)), 1, most))


_OWN: dict[str, Callable[[ImageArray, np.random.Generator], None]] = {"patches": _patch, "scratches": _scratch}
