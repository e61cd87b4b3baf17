"""Bodies are decoded as `gradcon score` decodes the same files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gradcon_ext.data.reading import ImageFile, Preparation, read_images, with_frames
from gradcon_ext.serving.files import decoded_images
from gradcon_ext.serving.refusal import Refusal
from support.libraries import library
from support.served import encoded, random_bytes

GREY = Preparation(1, (8, 8), background=(255, 255, 255))
MANY = 10**6


def colour(channels: int = 3) -> Any:
    return random_bytes((12, 20, channels), 1)[0]


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(colour(), "JPEG", exif=exif)


def deep_grey() -> Any:
    return np.random.default_rng(0).integers(0, 65536, (9, 7), np.uint16)


def animation(frames: int) -> bytes:
    images = [Image.fromarray(image) for image in random_bytes((9, 9, 3), frames)]
    return encoded(np.zeros((9, 9, 3), np.uint8), "GIF", save_all=True, append_images=images)


FILES: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(colour()),
    "transparent png": lambda: encoded(colour(4)),
    "grey png of 16 bits": lambda: encoded(deep_grey()),
    "bmp": lambda: encoded(colour(), "BMP"),
    "jpeg on its side": turned,
    "large jpeg": lambda: encoded(random_bytes((300, 400, 3), 1)[0], "JPEG"),
    "webp": lambda: encoded(colour(), "WEBP"),
    "pgm": lambda: encoded(random_bytes((9, 9), 1)[0], "PPM"),
    "gif": lambda: animation(3),
    "tiff": lambda: encoded(colour(), "TIFF"),
    "floating-point tiff": lambda: encoded(np.random.default_rng(0).random((9, 7), np.float32), "TIFF"),
}


@pytest.mark.parametrize(
    "preparation",
    [
        GREY,
        Preparation(3, (6, 10), "pad", background=(10, 20, 30)),
        Preparation(3, (6, 10), "crop", reduced_jpeg=True),
        replace(GREY, range=(0.0, 100.0)),
        replace(GREY, frame="all"),
    ],
    ids=["grey", "pad", "crop", "range", "frames"],
)
@pytest.mark.parametrize("kind", FILES)
def test_a_body_is_decoded_as_its_file(kind: str, preparation: Preparation, tmp_path: Path) -> None:
    body, path = FILES[kind](), tmp_path / "file"
    path.write_bytes(body)
    expected = list(read_images(with_frames([ImageFile(path)], preparation), preparation))
    if any(reading.error for reading in expected):
        with pytest.raises(Refusal, match="cannot be read as an image"):
            decoded_images(body, preparation, MANY, 100)
        return
    images = decoded_images(body, preparation, MANY, 100)
    assert len(images) == len(expected)
    for frame, (image, reading) in enumerate(zip(images, expected, strict=True)):
        assert reading.pixels is not None
        assert image.pixels.dtype.name == str(reading.pixels.dtype).removeprefix("torch.")
        assert np.array_equal(image.pixels, reading.pixels.numpy())
        assert image.beyond == reading.beyond
        assert image.frame == (frame if preparation.frame == "all" else None)


def test_colour_of_16_bits_is_decoded_as_its_file(tmp_path: Path) -> None:
    tifffile = library("tifffile")
    path = tmp_path / "deep.tiff"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 65536, (9, 7, 3), np.uint16))
    (image,) = decoded_images(path.read_bytes(), GREY, MANY, 100)
    (reading,) = read_images([ImageFile(path)], GREY)
    assert image.pixels.dtype == np.float32
    assert reading.pixels is not None
    assert np.array_equal(image.pixels, reading.pixels.numpy())


def refused(body: bytes, **limits: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decoded_images(body, **{"preparation": GREY, "max_pixels": MANY, "max_images": 3, **limits})
    assert gettempdir() not in caught.value.sentence
    assert caught.value.sentence.endswith(".")
    return caught.value


def test_what_is_no_image_is_refused_as_such() -> None:
    for body in (
        b"no image",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"<svg/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ):
        assert refused(body).status == 415, body


def test_what_is_damaged_is_refused() -> None:
    for kind in ("png", "bmp", "large jpeg", "webp", "gif", "tiff"):
        body = FILES[kind]()
        assert refused(body[: len(body) // 2]).status in (415, 422), kind


@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_changed_file_is_decoded_or_refused(kind: str, changes: list[tuple[float, int]]) -> None:
    body = bytearray(FILES[kind]())
    for place, value in changes:
        body[int(place**3 * len(body))] = value  # rather near the beginning, where heads are
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, which a server ignores too
        try:
            images = decoded_images(bytes(body), GREY, MANY, 10)
        except Refusal as refusal:
            assert refusal.status in (413, 415, 422)
        else:
            assert [image.pixels.shape for image in images] == [(1, 8, 8)]


def test_pixels_are_counted_before_any_is_decoded() -> None:
    bomb = encoded(np.zeros((2000, 3000), np.uint8))
    assert len(bomb) < 50_000
    error = refused(bomb)
    assert (error.status, error.sentence) == (
        413,
        "The image has 3000 times 2000 pixels; 1000000 are decoded at most.",
    )


def test_frames_are_counted_too() -> None:
    error = refused(animation(5), preparation=replace(GREY, frame="all"))
    assert (error.status, error.sentence) == (413, "The file has 6 frames; 3 images are taken at most.")


def test_a_frame_that_is_not_there_is_refused() -> None:
    assert refused(animation(1), preparation=replace(GREY, frame=7)).status == 422
