"""Heights and widths of image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import read_header
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order


def sizes_of(
    files: Iterable[ImageFile], max_pixels: int | None = None, workers: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield height and width of each file, upright, from its header; files that cannot be read are passed over.

    So are those of too many pixels, which `decode` refuses.

    Args:
        files: of the images.
        max_pixels: the most of a file; no limit by default, but of one whose header tells nothing, and which is
            decoded, that of `decode`.
        workers: threads.
    """
    sizes = in_order(partial(_size_if_readable, max_pixels=max_pixels), files, workers)
    return (size for size in sizes if size is not None)


def size_of(file: ImageFile, max_pixels: int | None = None) -> tuple[int, int]:
    """Return height and width of an image, upright, from its header; raises what `read_header` raises."""
    return read_header(file.path, max_pixels, file.frame).size


def _size_if_readable(file: ImageFile, max_pixels: int | None) -> tuple[int, int] | None:
    try:
        height, width = size_of(file, max_pixels)
    except UnreadableImage:
        return None
    return (height, width) if max_pixels is None or height * width <= max_pixels else None
