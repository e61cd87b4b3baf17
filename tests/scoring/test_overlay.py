from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from gradcon_ext.scoring.overlay import Scale, as_png, colour_bar, common_scale, extents_of, overlay, picture


def test_the_scale_is_that_of_all_images() -> None:
    maps = torch.rand(10, 6, 7)
    extents = extents_of(maps[:4]) + extents_of(maps[4:])
    assert extents == extents_of(maps)
    scale = common_scale(extents)
    medians = np.median(maps.flatten(1).numpy(), axis=1)
    assert scale.low == pytest.approx(np.median(medians), rel=1e-5)
    assert scale.low < scale.high <= maps.max()


def test_a_single_image_that_is_far_off_does_not_darken_all_others() -> None:
    maps = torch.rand(100, 6, 7)
    maps[3] *= 1e6
    assert common_scale(extents_of(maps)).high < 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_scale(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        extents_of(torch.tensor([[[0.0, value]]]))


def test_places_rise_with_values_and_end_at_the_ends() -> None:
    scale = Scale(-1.0, 3.0)
    assert scale.place(np.array([-9.0, -1.0, 0.0, 3.0, 9.0])) == pytest.approx([0, 0, 0.5, 1, 1])
    assert not Scale(2.0, 2.0).place(np.array([1.0, 2.0, 3.0])).any()


def test_the_higher_the_more_of_the_colour() -> None:
    image = torch.full((1, 1, 2), 0.5)
    low, high = overlay(image, torch.tensor([[0.0, 1.0]]), Scale(0, 1))[0].astype(float) / 255
    table = np.array(colormaps["inferno"]([0, 255]))[:, :3]
    assert low == pytest.approx(0.85 * 0.5 + 0.15 * table[0], abs=0.003)
    assert high == pytest.approx(0.25 * 0.5 + 0.75 * table[1], abs=0.003)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("floating", [True, False])
def test_images_in_grey_and_colour(channels: int, floating: bool) -> None:
    pixels = torch.randint(0, 256, (channels, 4, 5), dtype=torch.uint8)
    image = pixels.float() / 255 if floating else pixels
    assert np.array_equal(picture(image), pixels.expand(3, 4, 5).permute(1, 2, 0).numpy())
    assert overlay(image, torch.zeros(4, 5), Scale(0, 1)).shape == (4, 5, 3)


def test_png_files() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(as_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)
    with Image.open(io.BytesIO(as_png(pixels, 20))) as image:
        assert image.size == (20, 10)


def test_the_colours_are_brighter_for_more() -> None:
    luminance = colour_bar()[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1).all() and luminance[-1] > 200 > 20 > luminance[0]
