"""EXIF of a PNG, which may stand behind its pixels, without decoding these."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOTES = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_ENDS = (b"IEND", b"fdAT")
"""Chunks that Pillow looks no further than: of several frames it reads what comes before the second."""
_LENGTH_AND_KIND = struct.Struct(">I4s")
_CHECKSUM = 4
"""Bytes of it, behind the data of a chunk."""
_ONE_GREY_PIXEL = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)


def png_exif(path: Path) -> Image.Exif:
    """Return what Pillow would find in a PNG, and would decode all of its pixels for.

    Pillow looks for it in texts too, so it is given the same notes beside a single pixel.
    """
    with path.open("rb", buffering=0) as file:
        notes = list(_notes(file))
    if not notes:
        return Image.Exif()
    chunks = [(b"IHDR", _ONE_GREY_PIXEL), *notes, (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    with Image.open(BytesIO(_SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)), formats=("PNG",)) as image:
        return image.getexif()


def _notes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and data of each chunk that may hold EXIF; other chunks are passed over unread."""
    file.seek(len(_SIGNATURE))
    while len(head := file.read(_LENGTH_AND_KIND.size)) == _LENGTH_AND_KIND.size:
        length, kind = _LENGTH_AND_KIND.unpack(head)
        if kind in _ENDS:
            return
        if kind in _NOTES:
            yield kind, file.read(length)
            length = 0
        file.seek(length + _CHECKSUM, 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return _LENGTH_AND_KIND.pack(len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
