"""What every condition is made of: an image in floating point, and the weights by which another shows in it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.float64]
"""An image (C, H, W) with values in [0, 1], or a map (H, W) of weights."""


def mix(image: Pixels, other: Pixels | float, weight: Pixels | float) -> Pixels:
    """Blend `other` into `image`: 0 leaves the image, 1 leaves nothing of it."""
    blended: Pixels = image + weight * (other - image)
    return blended
