"""Image files as they are: found, decoded at their own bit depth, and brought to what a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcon_ext._install.lazy_names import lazy_names

if TYPE_CHECKING:
    from gradcon_ext.data.reading.cache import CachedImages, cached_images, remove_caches
    from gradcon_ext.data.reading.decoded import Decoded, UnreadableImage
    from gradcon_ext.data.reading.decoding import decode
    from gradcon_ext.data.reading.file_images import FileImages
    from gradcon_ext.data.reading.files import Found, Ignored, ImageFile
    from gradcon_ext.data.reading.finding import SUFFIXES, find_images
    from gradcon_ext.data.reading.frames import with_frames
    from gradcon_ext.data.reading.preparation import Preparation, Prepared
    from gradcon_ext.data.reading.streams import Reading, read_images
    from gradcon_ext.data.reading.value_range import range_of

__all__ = [
    "SUFFIXES",
    "CachedImages",
    "Decoded",
    "FileImages",
    "Found",
    "Ignored",
    "ImageFile",
    "Preparation",
    "Prepared",
    "Reading",
    "UnreadableImage",
    "cached_images",
    "decode",
    "find_images",
    "range_of",
    "read_images",
    "remove_caches",
    "with_frames",
]

_HOMES = {
    "CachedImages": "cache",
    "Decoded": "decoded",
    "FileImages": "file_images",
    "Found": "files",
    "Ignored": "files",
    "ImageFile": "files",
    "Preparation": "preparation",
    "Prepared": "preparation",
    "Reading": "streams",
    "SUFFIXES": "finding",
    "UnreadableImage": "decoded",
    "cached_images": "cache",
    "decode": "decoding",
    "find_images": "finding",
    "range_of": "value_range",
    "read_images": "streams",
    "remove_caches": "cache",
    "with_frames": "frames",
}

if not TYPE_CHECKING:  # A type checker would take any name for one of this module's.
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
