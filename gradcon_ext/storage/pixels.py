"""What arrays of images may hold, said alike with torch and without. Imports neither torch nor numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_layout(shape: Sequence[int]) -> None:
    """Raise ValueError unless an array of this shape holds images, (N, C, H, W) or (N, H, W)."""
    if len(shape) not in (3, 4):
        raise ValueError(f"images have shape {tuple(shape)}; expected (N, C, H, W) or (N, H, W)")
    if 0 in shape:
        raise ValueError(f"there are no images: their shape is {tuple(shape)}")


def check_channels(given: Sequence[int], expected: Sequence[int]) -> None:
    """Raise ValueError for images (C, H, W) of other channels than expected, and say so where they come last."""
    if given[0] != expected[0]:
        raise ValueError(
            f"images have shape (C, H, W) = {tuple(given)}; expected {tuple(expected)}{channels_last(given, expected)}"
        )


def channels_last(given: Sequence[int], expected: Sequence[int]) -> str:
    """What to add to the message of a wrong shape (C, H, W), where it is that of (H, W, C)."""
    if given[0] == expected[0] or given[2] != expected[0]:
        return ""
    return ": the channels come last, so transpose (N, H, W, C) to (N, C, H, W), as by numpy.moveaxis(images, -1, 1)"


def unfit_pixels(index: int, least: float, most: float) -> ValueError:
    """Return the error for an image with pixels, the least and the largest of which are given, beyond 0 to 1."""
    if math.isfinite(least) and math.isfinite(most):
        problem = f"floating-point pixels from {least:g} to {most:g}; expected 0 to 1, or uint8 from 0 to 255"
    else:
        problem = "NaN or infinite pixels"
    return ValueError(f"image {index} has {problem}")
