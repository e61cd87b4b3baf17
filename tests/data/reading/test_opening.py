"""Files that lie on their side or head, by EXIF or TIFF: their pixels and their size are those of the upright image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, features

from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.masks import read_mask
from gradcon_ext.data.reading import decode
from gradcon_ext.data.reading.decoded import turn_upright
from gradcon_ext.data.reading.decoding import read_header

HEIGHT, WIDTH = 6, 9
BYTES = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
WORDS = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
IMAGES = {
    "1": Image.fromarray(BYTES[..., 0] > 127),
    "L": Image.fromarray(BYTES[..., 0]),
    "LA": Image.frombytes("LA", (WIDTH, HEIGHT), BYTES[..., :2].tobytes()),
    "P": Image.fromarray(BYTES[..., :3]).quantize(16),
    "RGB": Image.fromarray(BYTES[..., :3]),
    "RGBA": Image.fromarray(BYTES),
    "CMYK": Image.frombytes("CMYK", (WIDTH, HEIGHT), BYTES.tobytes()),
    "I;16": Image.fromarray(WORDS),
    "I;16B": Image.frombytes("I;16B", (WIDTH, HEIGHT), WORDS.astype(">u2").tobytes()),
    "I": Image.fromarray(WORDS.astype(np.int32)),
    "F": Image.fromarray(BYTES[..., 0] / np.float32(255)),
}
TIFF = {"tif": {}, "tif, LZW": {"compression": "tiff_lzw"}, "tif, deflate": {"compression": "tiff_adobe_deflate"}}
FILES = {
    **{(kind, mode): options for kind, options in TIFF.items() for mode in IMAGES},
    **{("png", mode): {} for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{("jpg", mode): {"quality": 95} for mode in ("L", "RGB", "CMYK")},
    **{("webp", mode): {"lossless": True} for mode in ("RGB", "RGBA") if features.check("webp")},
}


def orientation(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def planes(decoded):
    """Pixels (C, H, W)."""
    if isinstance(decoded.pixels, Image.Image):
        return np.atleast_3d(np.asarray(decoded.pixels)).transpose(2, 0, 1)
    return decoded.pixels


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_pixels_are_those_of_the_upright_image(tmp_path, kind, mode, number):
    suffix, options = kind.split(",")[0], FILES[kind, mode]
    IMAGES[mode].save(tmp_path / f"a.{suffix}", **options)
    path = tmp_path / f"turned.{suffix}"
    IMAGES[mode].save(path, exif=orientation(number), **options)
    decoded = decode(path)
    assert np.array_equal(planes(decoded), turn_upright(planes(decode(tmp_path / f"a.{suffix}")), number))
    assert decoded.size == read_header(path).size == ((WIDTH, HEIGHT) if number > 4 else (HEIGHT, WIDTH))
    assert decoded.turned == (number != 1)


def test_each_frame_is_turned_as_it_says(tmp_path):
    path, grey = tmp_path / "a.tif", IMAGES["L"]
    frames = [grey.copy() for _ in range(2)]
    for frame, number in zip(frames, (8, 1), strict=True):
        frame.encoderinfo = {"exif": orientation(number)}
    grey.save(path, save_all=True, append_images=frames, exif=orientation(6))
    for frame, number in enumerate((6, 8, 1)):
        assert np.array_equal(planes(decode(path, frame)), turn_upright(BYTES[None, ..., 0], number))
        assert read_header(path, frame=frame).size == decode(path, frame).size


@pytest.mark.parametrize("number", [1, 6])
def test_an_image_that_is_opened_by_its_name(tmp_path, number):
    path = tmp_path / "a.tif"
    IMAGES["L"].save(path, exif=orientation(number))
    with Image.open(path) as image:
        pixels = as_image_dataset([image]).stored(0)
        assert image.filename in (path, str(path))
    assert np.array_equal(pixels, turn_upright(BYTES[None, ..., 0], number))


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_is_that_of_the_upright_image(tmp_path, suffix, number):
    IMAGES["L"].save(tmp_path / f"mask.{suffix}", exif=orientation(number))
    expected = turn_upright(BYTES[None, ..., 0], number)[0] > 127
    assert np.array_equal(read_mask(tmp_path / f"mask.{suffix}", expected.shape), expected)
