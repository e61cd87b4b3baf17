"""Who refuses large images: this package, not Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


@contextmanager
def own_pixel_limit() -> Iterator[None]:
    """Leave it to `Preparation.max_pixels` to refuse large images, for Pillow's limit is one of the whole process."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged metadata, which is not looked at
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
