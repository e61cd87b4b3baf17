"""Tiles cover images, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradcon_ext.tiles import Tiling

LENGTHS = st.integers(1, 40)


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    stride = tuple(draw(st.integers(1, length)) for length in size)
    return Tiling(size, stride, draw(st.sampled_from([1.0, 0.5, 0.3])))


@given(tiling=tilings(), height=LENGTHS, width=LENGTHS)
@settings(max_examples=150)
def test_every_pixel_is_in_a_tile_and_no_tile_leaves_the_image(tiling: Tiling, height: int, width: int) -> None:
    tiles = tiling.cut(torch.zeros(2, height, width))
    rows, columns = (max(have, want) for have, want in zip(tiles.scaled_size, tiling.size, strict=True))
    covered = torch.zeros(rows, columns, dtype=torch.bool)
    for top in tiles.tops.tolist():
        for left in tiles.lefts.tolist():
            assert 0 <= top <= rows - tiling.size[0]
            assert 0 <= left <= columns - tiling.size[1]
            covered[top : top + tiling.size[0], left : left + tiling.size[1]] = True
    assert covered.all()
    assert len(tiles) == len(tiles.tops) * len(tiles.lefts)
    assert tiles.grid == tiling.grid(height, width)
    for starts, stride in zip((tiles.tops, tiles.lefts), tiling.stride, strict=True):
        steps = starts.diff()
        assert ((steps > 0) & (steps <= stride)).all()  # none twice
        assert (steps[:-1] == stride).all()


@given(tiling=tilings(), height=LENGTHS, width=LENGTHS, data=st.data())
def test_tiles_hold_the_pixels_of_their_place_row_by_row(tiling: Tiling, height: int, width: int, data) -> None:
    tiling = Tiling(tiling.size, tiling.stride)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    tiles = tiling.cut(image)
    index = data.draw(st.integers(0, len(tiles) - 1))
    top, left = tiles.tops[index // tiles.grid[1]], tiles.lefts[index % tiles.grid[1]]
    grown = [(0, 0), *((0, max(0, want - have)) for have, want in zip((height, width), tiling.size, strict=True))]
    pixels = np.pad(image.numpy(), grown, mode="reflect")
    expected = pixels[:, top : top + tiling.size[0], left : left + tiling.size[1]]
    assert tiles.stored(index).dtype == torch.uint8
    np.testing.assert_array_equal(tiles.stored(index).numpy(), expected)
    np.testing.assert_array_equal(tiles.stored_span(index, index + 2)[0].numpy(), expected)


def test_tiles_are_views_of_the_image_until_they_are_read() -> None:
    image = torch.zeros(1, 20, 30)
    tiles = Tiling(8, 4).cut(image)
    image[0, 4, 8] = 0.5
    assert tiles.stored(1 * tiles.grid[1] + 2)[0, 0, 0] == 0.5


@given(tiling=tilings(), height=LENGTHS, width=LENGTHS, even=st.booleans())
def test_the_tiles_of_many_images_are_those_of_each(tiling: Tiling, height: int, width: int, even: bool) -> None:
    tiling = Tiling(tiling.size, tiling.stride, tiling.scale, even)
    assume(tiling.scaled(height, width)[1] > 1)  # torch 2.13 fails to make bytes a single pixel wide
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    expected = torch.cat([torch.stack(list(tiling.cut(image).each_stored())) for image in images])
    torch.testing.assert_close(tiling.cut_all(images), expected)


@given(tiling=tilings(), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_an_image_that_a_grid_covers_without_rest(tiling: Tiling, rows: int, columns: int) -> None:
    height, width = tiling.without_rest(rows, columns)
    assert tiling.grid(height, width) == (rows, columns)
    ends = ((rows - 1) * tiling.stride[0] + tiling.size[0], (columns - 1) * tiling.stride[1] + tiling.size[1])
    assert tiling.scaled(height, width) == ends


def test_images_are_resized_first() -> None:
    image = torch.full((1, 41, 60), 200, dtype=torch.uint8)
    image[:, :, 30:] = 0
    tiles = Tiling(10, 10, scale=0.5).cut(image)
    assert (tiles.image_size, tiles.scaled_size, tiles.grid) == ((41, 60), (20, 30), (2, 3))
    assert tiles.stored(0).dtype == torch.uint8
    assert (tiles.stored(0) == 200).all()
    assert (tiles.stored(2) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_of_any_kind_is_float32(dtype: torch.dtype) -> None:
    image = torch.rand(1, 16, 16).to(dtype).requires_grad_()
    tile = Tiling(4, scale=0.5).cut(image).stored(0)
    assert tile.dtype == torch.float32
    assert not tile.requires_grad


def test_even_contrast_takes_light_and_shade_away() -> None:
    texture = torch.rand(1, 8, 8)
    tiling = Tiling(8, 8, even_contrast=True)
    plain, dark, bright = (tiling.cut(image).stored(0) for image in (texture, 0.4 * texture, 0.6 + 0.4 * texture))
    torch.testing.assert_close(dark, bright)
    torch.testing.assert_close(plain, dark, atol=0.05, rtol=0)
    assert plain.mean() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(tiling.cut(torch.full((1, 8, 8), 0.3)).stored(0), torch.full((1, 8, 8), 0.5))
    assert tiling.cut(torch.eye(8)[None]).stored(0).max() <= 1


@pytest.mark.parametrize("level", [0.0, 0.1, 0.3, 0.7])
def test_without_contrast_all_pixels_are_the_same_to_the_bit(level: float) -> None:
    tiles = Tiling(32, even_contrast=True).cut_all(torch.full((2, 3, 40, 48), level))
    assert tiles.unique().tolist() == [0.5]


def test_even_contrast_of_bytes_is_that_of_floats() -> None:
    image = torch.randint(0, 256, (2, 9, 9), dtype=torch.uint8)
    tiling = Tiling(6, even_contrast=True)
    torch.testing.assert_close(tiling.cut(image).stored(3), tiling.cut(image.float() / 255).stored(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "positive"),
        ({"size": 8, "stride": 9}, "uncovered"),
        ({"size": (8, 4), "stride": (8, 5)}, "uncovered"),
        ({"size": 8, "stride": 0}, "positive"),
        ({"scale": 0.0}, "scale"),
        ({"scale": 1.5}, "scale"),
        ({"scale": float("nan")}, "scale"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tiling(**arguments)


def test_the_stride_is_half_the_size_by_default() -> None:
    assert Tiling((9, 4)).stride == (5, 2)
    assert str(Tiling(32, 16, 0.5)) == "tiles of 32x32, 16x16 apart at 0.5 times their size"
    assert Tiling(**Tiling((9, 4), scale=0.5).facts) == Tiling((9, 4), (5, 2), 0.5)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((1, 8, 8), np.uint8), TypeError, "image 7 is a ndarray"),
        (torch.zeros(1, 8, 8, dtype=torch.int64), TypeError, "image 7: dtype"),
        (torch.zeros(8, 8), ValueError, "image 7 has shape"),
        (torch.zeros(1, 0, 8), ValueError, "image 7 has shape"),
        (torch.full((1, 8, 8), 2.0), ValueError, "image 7 has floating-point pixels from 2"),
        (torch.full((1, 8, 8), torch.nan), ValueError, "image 7 has NaN"),
    ],
)
def test_bad_images_are_refused(image: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Tiling(4).cut(image, index=7)


def test_feature_maps_may_hold_any_finite_value() -> None:
    maps = torch.full((1, 8, 8), -1e9)
    assert (Tiling(4).cut(maps, features=True).stored(0) == -1e9).all()
    with pytest.raises(ValueError, match="infinite"):
        Tiling(4).cut(maps / 0, features=True)
    with pytest.raises(ValueError, match="no contrast"):
        Tiling(4, even_contrast=True).cut(maps, features=True)
