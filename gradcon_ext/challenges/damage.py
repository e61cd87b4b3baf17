"""Synthetic damage of normal images, to ask what a detector notices before anybody has labelled a defect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gradcon_ext.challenges.conditions import CHALLENGES, challenge
from gradcon_ext.data.labelled import ImageArray

LEVEL = 2
"""Of the challenging conditions, of which 5 is the most severe; 1 changes hardly a pixel of a small image."""

_PATCH_AREA = 0.02, 0.15
_PATCH_ASPECT = 0.3, 3.3
_SCRATCH_LENGTH = 0.2, 0.6
_SCRATCH_WIDTH = 0.02, 0.05
_SCRATCH_CONTRAST = 50, 125
_SMALLEST_CHALLENGED = 8


def kinds_for(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the kinds of damage that images of shape (C, H, W) can be given."""
    channels, *sides = shape
    challenged = CHALLENGES if channels in (1, 3) and min(sides) >= _SMALLEST_CHALLENGED else ()
    return (*challenged, *_OWN)


def damage(images: ImageArray, kind: str, seed: int = 0) -> ImageArray:
    """Return images with one kind of damage each.

    The kinds are the twelve of `gradcon_ext.challenges` at a low level; "patches", a part of the image pasted elsewhere
    in it, after Li, Sohn, Yoon and Pfister (2021), CutPaste: Self-Supervised Learning for Anomaly Detection and
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
        raise ValueError(f"there is no damage {kind!r} of images (C, H, W) = {images.shape[1:]}")
    if kind in CHALLENGES:
        return challenge(images, kind, LEVEL, seed)
    damaged = images.copy()
    for index, image in enumerate(damaged):
        _OWN[kind](image, np.random.default_rng((seed, index)))
    return damaged


def _paste_patch(image: ImageArray, generator: np.random.Generator) -> None:
    size = np.array(image.shape[1:])
    area = generator.uniform(*_PATCH_AREA) * size.prod()
    aspect = np.exp(generator.uniform(*np.log(_PATCH_ASPECT)))
    sides = np.clip(np.rint(np.sqrt([area * aspect, area / aspect])).astype(int), 1, size)
    source, target = (generator.integers(0, size - sides + 1) for _ in range(2))
    image[_window(target, sides)] = image[_window(source, sides)].copy()


def _window(corner: npt.NDArray[np.int64], sides: npt.NDArray[np.int64]) -> tuple[slice, ...]:
    return slice(None), *(slice(start, start + side) for start, side in zip(corner, sides, strict=True))


def _draw_scratch(image: ImageArray, generator: np.random.Generator) -> None:
    size = np.array(image.shape[1:])
    # Through the middle of a pixel, so that some pixel is on it.
    middle = generator.integers(0, size)
    angle = generator.uniform(0, np.pi)
    length = generator.uniform(*_SCRATCH_LENGTH) * size.max()
    width = max(1.0, generator.uniform(*_SCRATCH_WIDTH) * size.max())
    down, right = np.indices(image.shape[1:]) - middle[:, None, None]
    along = down * np.sin(angle) + right * np.cos(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    is_on = (abs(along) <= length / 2) & (abs(across) <= width / 2)
    # Away from the brightness that is there, so that a scratch shows on black as well as on white.
    sign = -1 if image[:, is_on].mean() > 127 else 1
    contrast = sign * generator.uniform(*_SCRATCH_CONTRAST)
    image[:, is_on] = np.clip(image[:, is_on] + contrast, 0, 255).astype(np.uint8)


_OWN: dict[str, Callable[[ImageArray, np.random.Generator], None]] = {
    "patches": _paste_patch,
    "scratches": _draw_scratch,
}
