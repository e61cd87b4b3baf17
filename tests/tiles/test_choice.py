from __future__ import annotations

import pytest

from gradcon_ext.tiles import Tiling, choose


@pytest.mark.parametrize(
    ("sizes", "size", "tiling", "reason"),
    [
        ([(28, 28)] * 3, (28, 28), None, "28x28 -> whole images: all have that size, of 64 pixels at most"),
        (
            [(480, 640)],
            None,
            Tiling(32, 16, 0.5),
            "640x480 -> tiles of 32 at half size: images are larger than 64 pixels",
        ),
        ([(100, 300)], None, Tiling(32, 16), "300x100 -> tiles of 32 at full size: images are larger than 64 pixels"),
        (
            [(28, 28), (30, 20)],
            None,
            Tiling(32, 16),
            "20x30 to 28x28 -> tiles of 32 at full size: images are of several sizes",
        ),
        (
            [(241, 600), (319, 182), (247, 386), (386, 390)],
            None,
            Tiling(32, 16),
            "182x319 to 390x386 -> tiles of 32 at full size: images are larger than 64 pixels",
        ),
        (
            iter([(300, 900), (256, 500)]),
            None,
            Tiling(32, 16, 0.5),
            "500x256 to 900x300 -> tiles of 32 at half size: images are larger than 64 pixels",
        ),
    ],
)
def test_the_choice_says_what_and_why(sizes, size, tiling, reason: str) -> None:
    assert choose(sizes) == (size, tiling, reason)


def test_of_no_images_nothing_is_chosen() -> None:
    with pytest.raises(ValueError, match="no images"):
        choose([])
