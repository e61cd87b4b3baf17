"""Sizes of files, upright, from their headers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data.reading import ImageFile
from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import decode, read_header
from gradcon_ext.data.reading.sizes import sizes_of
from support.libraries import library

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def lying(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_header_tells_the_size_that_decoding_finds(tmp_path, suffix, orientation):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path, exif=lying(orientation))
    expected = (8, 6) if orientation > 4 else (6, 8)
    assert read_header(path).size == decode(path).size == expected


def test_files_that_cannot_be_read_are_passed_over(tmp_path):
    for number, size in enumerate([(6, 8), (5, 9)]):
        Image.fromarray(PIXELS[: size[0]]).resize(size[::-1]).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    files = [ImageFile(tmp_path / f"{name}.png") for name in ("0", "2", "nowhere", "1")]
    assert list(sizes_of(files, workers=2)) == [(6, 8), (5, 9)]


def test_files_of_too_many_pixels_cannot_be_read_either(tmp_path):
    files = [ImageFile(tmp_path / f"{number}.png") for number in range(2)]
    for file, size in zip(files, [(6, 8), (7, 7)], strict=True):
        Image.new("L", size[::-1]).save(file.path)
    assert list(sizes_of(files, max_pixels=48)) == [(6, 8)]
    with pytest.raises(UnreadableImage, match="7 times 7 pixels"):
        decode(files[1].path, max_pixels=48)


def test_what_no_header_tells_is_decoded_within_the_limit(tmp_path):
    tifffile = library("tifffile")
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.zeros((7, 11, 3), np.float64), photometric="rgb")
    assert list(sizes_of([ImageFile(path)])) == [(7, 11)]
    assert list(sizes_of([ImageFile(path)], max_pixels=10)) == []
    with pytest.raises(UnreadableImage, match="11 times 7 pixels"):
        read_header(path, 10)
