"""EXIF of a PNG wherever it stands, without its pixels."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gradcon_ext.data.reading import decode
from gradcon_ext.data.reading.decoding import read_header

SIZE = (300, 250)
"""Width and height, of more pixels than take no time to decode."""


def lying():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def text(name, value):
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(name, value, zip=True)
    return {"pnginfo": notes}


NOTES = {
    "EXIF": {"exif": lying()},
    "text of ImageMagick": text(
        "Raw profile type exif", f"\nexif\n{len(lying().tobytes()):8}\n{lying().tobytes().hex()}"
    ),
    "XMP": text("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>'),
}


def behind_the_pixels(content):
    """The same PNG with its notes behind its pixels."""
    chunks, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append(content[place : place + length + 12])
        place += length + 12
    kinds = (b"IHDR", b"IDAT", b"eXIf", b"zTXt", b"iTXt", b"IEND")
    return content[:8] + b"".join(sorted(chunks, key=lambda chunk: kinds.index(chunk[4:8])))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("notes", NOTES)
def test_the_header_tells_the_size_that_decoding_finds(tmp_path, notes, behind):
    path = tmp_path / "a.png"
    Image.new("L", SIZE).save(path, **NOTES[notes])
    if behind:
        path.write_bytes(behind_the_pixels(path.read_bytes()))
    assert read_header(path).size == decode(path).size == SIZE


def test_no_pixel_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", SIZE).save(path, exif=lying())
    path.write_bytes(behind_the_pixels(path.read_bytes()))
    loaded = []
    load = PngImagePlugin.PngImageFile.load
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: loaded.append(self.size) or load(self))
    assert read_header(path).size == SIZE
    assert SIZE not in loaded


def test_no_notes_and_notes_that_are_damaged(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", SIZE).save(path)
    whole = path.read_bytes()
    assert read_header(path).size == SIZE[::-1]
    path.write_bytes(whole[:-12])
    assert read_header(path).size == SIZE[::-1]
    data = lying().tobytes()[6:]
    path.write_bytes(whole[:-12] + struct.pack(">I", 1 << 20) + b"eXIf" + data)
    assert read_header(path).size == SIZE
    checksum = zlib.crc32(b"eXIf" + data) ^ 1
    path.write_bytes(
        whole[:-12] + struct.pack(">I4s", len(data), b"eXIf") + data + struct.pack(">I", checksum) + whole[-12:]
    )
    assert read_header(path).size == decode(path).size == SIZE


def test_of_several_frames_what_stands_before_the_second_counts(tmp_path):
    path = tmp_path / "a.png"
    frames = [Image.fromarray(np.full(SIZE[::-1], level, np.uint8)) for level in (0, 99)]
    frames[0].save(path, save_all=True, append_images=frames[1:], exif=lying())
    assert read_header(path).size == decode(path).size == SIZE
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", content[start : start + 4])[0]
    path.write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    assert read_header(path).size == decode(path).size
