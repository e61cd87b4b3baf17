"""Image files as they are: found, decoded at their own bit depth, and brought to what a network takes."""

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
