"""Files as Pillow opens them, and what it would do wrong with files that it knows the name of."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFile


def open_image(path: Path) -> ImageFile.ImageFile:
    """Open an image file, which is decoded once its pixels are asked for; raises what Pillow raises."""
    file = Image.open(path)
    file.filename = ""
    # Under its name Pillow maps an uncompressed file into memory, in rows that are as long as the upright image is
    # wide: a TIFF that lies on its side becomes a jumble.
    return file


def load_image(image: Image.Image) -> None:
    """Decode an image that somebody else may have opened by its name."""
    if isinstance(image, ImageFile.ImageFile):
        name, image.filename = image.filename, ""
        try:
            image.load()
        finally:
            image.filename = name
