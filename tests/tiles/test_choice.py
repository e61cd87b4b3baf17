from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.tiles import Tiling, choose


@pytest.mark.parametrize(
    ("sizes", "size", "tiling", "reason"),
    [
        ([(28, 28)] * 3, (28, 28), None, "28x28 -> whole images: all have that size, of 64 pixels at most"),
        (
            [(28, 28), (30, 20)],
            (29, 24),
            None,
            "20x30 to 28x28 -> whole images: of several sizes, brought to 24x29 (--size 29x24), of 64 pixels at most",
        ),
        (
            [(480, 640)],
            None,
            Tiling(32, 16, 0.5, even_contrast=True),
            "640x480 -> tiles of 32 at half size with even contrast: images are larger than 64 pixels",
        ),
        (
            [(100, 300)],
            None,
            Tiling(32, 16, even_contrast=True),
            "300x100 -> tiles of 32 at full size with even contrast: images are larger than 64 pixels",
        ),
        (
            [(241, 600), (319, 182), (247, 386), (386, 390), (250, 380)],
            (250, 386),
            Tiling(32, 16, even_contrast=True),
            "182x319 to 390x386 -> all at 386x250 (--size 250x386), tiles of 32 at full size with even "
            "contrast: images are larger than 64 pixels",
        ),
        (
            iter([(300, 300), (300, 300), (256, 900)]),
            (300, 450),
            Tiling(32, 16, 0.5, even_contrast=True),
            "900x256 to 300x300 -> all at 450x300 (--size 300x450), tiles of 32 at half size with even "
            "contrast: images are larger than 64 pixels",
        ),
        (
            [(256, 256), (256, 2051)],
            None,
            Tiling(32, 16, 0.5, even_contrast=True),
            "256x256 to 2051x256 -> tiles of 32 at half size with even contrast: images are of sizes too different for "
            "one",
        ),
        (
            [(5, 5), (64, 64)],
            None,
            Tiling(32, 16, even_contrast=True),
            "5x5 to 64x64 -> tiles of 32 at full size with even contrast: images are of sizes too different for one",
        ),
        (
            [(20, 300), (22, 280)],
            (21, 290),
            Tiling((21, 32), even_contrast=True),
            "300x20 to 280x22 -> all at 290x21 (--size 21x290), tiles of 32x21 at full size with even "
            "contrast: images are larger than 64 pixels",
        ),
        (
            [(1, 9), (90, 20)],
            None,
            Tiling((32, 20), even_contrast=True),
            "9x1 to 20x90 -> tiles of 20x32 at full size with even contrast: images are of sizes too different for one",
        ),
    ],
)
def test_the_choice_says_what_and_why(sizes, size, tiling, reason: str) -> None:
    assert choose(sizes) == (size, tiling, reason)


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1))
def test_no_side_shrinks_by_more_than_half_or_grows_more_than_four_times_and_a_tile_has_room(sizes) -> None:
    size, tiling, _ = choose(sizes)
    assert (size, tiling) != (None, None)
    for own in sizes if size else ():
        assert all(side / 4 <= its <= 2 * side for side, its in zip(size, own, strict=True))
    assert tiling is None or any(tiling.fits_in(*tiling.scaled(*own)) for own in ([size] if size else sizes))
    assert choose(sizes[::-1])[:2] == (size, tiling)


def test_of_no_images_nothing_is_chosen() -> None:
    with pytest.raises(ValueError, match="no images"):
        choose([])
