from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.data.reading import Decoded, Preparation
from gradcon_ext.serving.arrays import npy_array, prepared_arrays, raw_array, shape_of
from gradcon_ext.serving.refusal import Refusal
from support.served import npy, random_bytes

GREY = Preparation(1, (8, 8))


@pytest.mark.parametrize(("text", "shape"), [("2,1,8,8", (2, 1, 8, 8)), ("2x8x8", (2, 8, 8))])
def test_shapes(text: str, shape: tuple[int, ...]) -> None:
    assert shape_of(text) == shape


@pytest.mark.parametrize("text", ["", "8", "8,8", "1,2,3,4,5", "-1,8,8", "1,8,8.0", "1,8,8\n", "9" * 99, "1,8,٣"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="The shape is .*; expected numbers N,C,H,W or N,H,W"):
        shape_of(text)


def test_raw_bytes_are_their_array() -> None:
    images = random_bytes()
    assert np.array_equal(raw_array(images.tobytes(), images.shape), images)
    for shape in ((20, 1, 8, 8), (0, 1, 8, 8), (999999999, 999999999, 999999999, 999999999)):
        with pytest.raises(Refusal, match="The body has 1344 bytes; the shape .* has"):
            raw_array(images.tobytes(), shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32", ">f8", "float16"])
def test_an_npy_file_is_its_array(dtype: str) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    for form in (array, np.asfortranarray(array)):
        assert np.array_equal(npy_array(npy(form)), array)


@given(body=st.binary(max_size=200))
def test_no_bytes_do_anything_else_than_to_be_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        npy_array(b"\x93NUMPY" + body)


def test_a_pickle_is_not_read() -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("it was run",))

    with pytest.raises(Refusal, match="cannot be read as an .npy array of numbers"):
        npy_array(npy(np.array([Trap()], object)))


def test_more_than_there_is_is_not_read() -> None:
    body = npy(np.zeros((2, 8, 8), np.uint8))
    for claimed in (b"(9, 8, 8)", b"(9**9,)  "):
        with pytest.raises(Refusal):
            npy_array(body.replace(b"(2, 8, 8)", claimed))


def test_bytes_in_the_size_of_the_detector_are_taken_as_they_are() -> None:
    images = random_bytes()
    for form in (images, images[:, 0]):
        assert np.array_equal([image.pixels for image in prepared_arrays(form, GREY)], images)


def test_others_are_prepared_as_files_are() -> None:
    for images in (random_bytes((1, 12, 10), 3), random_bytes((1, 12, 10), 3).astype(np.uint16) * 200):
        decoded = [Decoded(image, "npy", "", 8 * images.itemsize) for image in images]
        expected = [GREY.prepare(one).pixels for one in decoded]
        assert np.array_equal([image.pixels for image in prepared_arrays(images, GREY)], expected)


def test_what_leaves_the_range_is_told() -> None:
    preparation = Preparation(1, (8, 8), range=(0.0, 100.0))
    (image,) = prepared_arrays(np.full((1, 8, 8), 150, np.uint16), preparation)
    assert image.beyond == (150, 150)
    assert (image.pixels == 1).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\); expected \(N, C, H, W\) or \(N, H, W\)"),
        (np.zeros((0, 8, 8), np.uint8), "no images"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"\(3, 8, 8\); expected \(1, 8, 8\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), "the channels come last"),
        (np.zeros((2, 8, 8), np.int64), "int64; expected uint8, uint16 or floating point"),
        (np.zeros((2, 8, 8), bool), "bool"),
        (np.zeros((2, 8, 8), "datetime64[s]"), "datetime64"),
        (np.zeros((2, 9, 8)), r"\(9, 8\) pixels; expected \(8, 8\)"),
        (np.full((2, 8, 8), 1.5), "image 0 .*1.5"),
        (np.full((2, 8, 8), np.nan), "image 0 .*NaN"),
    ],
)
def test_other_arrays_are_refused(array: Any, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        prepared_arrays(array, GREY)
    assert caught.value.status == 422
