from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gradcon_ext.data.reading import Decoded, Preparation
from gradcon_ext.data.reading.fitting import placement

GENERATOR = np.random.default_rng(0)
COLOUR = GENERATOR.integers(0, 256, (30, 40, 3), dtype=np.uint8)
WORDS = GENERATOR.integers(0, 4096, (1, 30, 40)).astype(np.uint16)


def decoded(pixels):
    image = isinstance(pixels, Image.Image)
    return Decoded(pixels, "PNG", pixels.mode if image else "I;16", 8 if image else 16)


def prepared(pixels, **options):
    return Preparation(**{"channels": 3, "size": (12, 10), **options}).prepare(decoded(pixels))


def test_bytes_are_resized_as_pillow_does():
    pixels, beyond = prepared(Image.fromarray(COLOUR))
    expected = np.asarray(Image.fromarray(COLOUR).resize((10, 12), Image.Resampling.BILINEAR))
    assert (pixels.dtype, beyond) == (np.uint8, None)
    assert np.array_equal(pixels, expected.transpose(2, 0, 1))
    of_array, _ = prepared(COLOUR.transpose(2, 0, 1))
    assert np.array_equal(of_array, pixels)


def test_crop_is_that_of_pillow():
    pixels, _ = prepared(Image.fromarray(COLOUR), fit="crop")
    expected = ImageOps.fit(Image.fromarray(COLOUR), (10, 12), Image.Resampling.BILINEAR)
    assert np.array_equal(pixels, np.asarray(expected).transpose(2, 0, 1))


def test_pad_is_that_of_pillow():
    for background in (None, (10, 20, 30)):
        pixels, _ = prepared(Image.fromarray(COLOUR), fit="pad", background=background)
        expected = ImageOps.pad(Image.fromarray(COLOUR), (10, 12), Image.Resampling.BILINEAR, background)
        assert np.array_equal(pixels, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_more_bits_are_fitted_like_bytes_and_with_nothing_lost(fit):
    whole = np.repeat(WORDS.astype(np.float32), 3, axis=0)
    pixels, _ = prepared(WORDS, fit=fit, range=(0.0, 4095.0), background=(255, 255, 255))
    place = placement(fit, (40, 30), (10, 12))
    expected = np.ones((3, 12, 10), np.float32)
    left, upper = place.offset
    for index, plane in enumerate(whole):
        resized = Image.fromarray(plane).resize(place.size, Image.Resampling.BILINEAR, box=place.box)
        expected[index, upper : upper + place.size[1], left : left + place.size[0]] = np.asarray(resized) / 4095
    np.testing.assert_allclose(pixels, expected, atol=1e-6)
    assert len(np.unique(pixels)) > 60


@given(
    source=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    target=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    fit=st.sampled_from(["squash", "pad", "crop"]),
)
def test_a_placement_stays_within_both_images(source, target, fit):
    place = placement(fit, source, target)
    assert 0 <= place.box[0] < place.box[2] <= source[0]
    assert 0 <= place.box[1] < place.box[3] <= source[1]
    assert all(
        start >= 0 and start + size <= whole
        for start, size, whole in zip(place.offset, place.size, target, strict=True)
    )
    assert fit == "pad" or place.size == target


@given(st.integers(0, 4095), st.integers(1, 4095))
def test_a_value_is_its_share_of_the_range(value, high):
    pixels, beyond = prepared(np.full((1, 12, 10), value, np.uint16), channels=1, range=(0.0, float(high)))
    assert np.array_equal(pixels, np.full((1, 12, 10), min(np.float32(value) / np.float32(high), 1)))
    assert beyond == (None if value <= high else (value, value))


def test_grey_of_more_bits_has_the_weights_of_pillow():
    colour = COLOUR[:12, :10]
    grey, _ = prepared(colour.transpose(2, 0, 1).astype(np.uint16), channels=1, range=(0.0, 255.0))
    np.testing.assert_allclose(grey[0], np.asarray(Image.fromarray(colour).convert("L")) / 255, atol=0.51 / 255)


def test_bytes_in_another_range_are_scaled():
    pixels, beyond = prepared(Image.fromarray(COLOUR[:12, :10]), range=(0.0, 128.0))
    assert (pixels.dtype, beyond) == (np.float32, (COLOUR[:12, :10].min(), COLOUR[:12, :10].max()))
    np.testing.assert_allclose(pixels, np.clip(COLOUR[:12, :10].transpose(2, 0, 1) / 128, 0, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "options", "problem"),
    [
        (Image.fromarray(COLOUR), {"range": (0.0, 4095.0)}, "8 bits a channel; .* 0 to 4095"),
        (
            np.full((1, 4, 4), -0.5, np.float32),
            {},
            "floating-point pixels from -0.5 to -0.5; expected 0 to 1, or a range",
        ),
        (np.zeros((5, 4, 4), np.uint16), {}, "5 channels"),
        *(
            (
                np.float32(COLOUR[None, ..., 0]) / 255,
                {"range": (0.0, high)},
                f"point pixels from 0 to 1; .* 0 to {high:g}",
            )
            for high in (255.0, 4095.0)
        ),
        (np.full((1, 4, 4), 0.5, np.float32), {"range": (0.0, 255.0)}, "pixels from 0.5 to 0.5; .* range 0 to 255"),
    ],
)
def test_what_does_not_fit_is_refused(pixels, options, problem):
    with pytest.raises(ValueError, match=problem):
        prepared(pixels, **options)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ((0, 255), (0.0, 255.0)),  # bytes in floating point
        ((0, 1.5), (0.0, 255.0)),
        ((0, 0), (0.0, 255.0)),  # black on any scale
        ((0, 1), (0.0, 100.0)),
        ((0, 1), (0.0, 987.5)),  # which only floating point has, and so a dark image
    ],
)
def test_floating_point_that_may_be_in_a_range_is_taken(values, bounds):
    plane = np.resize(np.array(values, np.float32), (12, 10))
    planes = np.stack([plane, np.ones_like(plane)])
    pixels, beyond = prepared(planes, range=bounds, background=None)
    assert beyond is None
    np.testing.assert_allclose(pixels, np.repeat(plane[None], 3, 0) / bounds[1], rtol=1e-6)


@pytest.mark.parametrize("high", [1.0, 10.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0, 100000.0])
def test_levels_hold_each_step_of_an_integer_range(high):
    levels = Preparation(1, (1, 1), range=(0.0, high)).levels
    assert levels <= 65535
    if high <= 65535:
        values = np.arange(high + 1)
        stored = np.rint(values / high * levels)
        assert np.array_equal(np.float32(stored) / np.float32(levels), np.float32(values) / np.float32(high))


WHOLE = Preparation(1, (4, 6), "crop", (0.0, 4095.0), (1, 2, 3), "all", True)


@pytest.mark.parametrize(
    ("size", "most", "count"),
    [(None, 512, 1), ((28, 28), 512, 512), ((1500, 2000), 512, 16), ((1500, 2000), 31, 1), ((20_000, 10_000), 512, 1)],
)
def test_of_large_images_few_are_in_memory(size, most, count):
    assert Preparation(3, size).at_once(most) == count


def test_facts_come_back_from_json():
    assert Preparation.read(json.loads(json.dumps(WHOLE.facts()))) == WHOLE
    assert Preparation(3, (8, 8), max_pixels=5).facts() == {"channels": 3, "size": [8, 8]}


def test_what_is_absent_is_what_it_always_was():
    assert Preparation.read({"channels": 3, "size": 8}) == Preparation(3, (8, 8), "squash", None, None, 0, False)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"channels": 0},
        {"channels": "3"},
        {"channels": True},
        {"size": [8, 8, 8]},
        {"size": 0},
        {"size": [8, 2.5]},
        {"fit": "stretch"},
        {"fit": ["pad"]},
        {"range": [1, 1]},
        {"range": [0, float("inf")]},
        {"range": [-1e308, 1e308]},
        {"range": [float("nan"), 1]},
        {"range": "0,1"},
        {"range": [0, True]},
        {"background": [0, 0]},
        {"background": [0, 0, 256]},
        {"background": "white"},
        {"frame": -1},
        {"frame": "some"},
        {"reduced_jpeg": 1},
        {"tiles": 4},
    ],
)
def test_nonsense_is_refused(nonsense):
    with pytest.raises(ValueError, match=f"preprocessing has .*{next(iter(nonsense))}"):
        Preparation.read({"channels": 3, "size": 8, **nonsense})
