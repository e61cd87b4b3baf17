"""Random tiles are tiles of the images, from everywhere in them."""

from __future__ import annotations

import pytest
import torch

from gradcon_ext.tiles import Tiling, random_tiles


def image_of_places(height: int, width: int) -> torch.Tensor:
    """An image whose pixels tell their row and column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).to(torch.uint8)


def test_tiles_are_cut_from_everywhere_in_images_of_different_sizes() -> None:
    images = [image_of_places(9, 12), image_of_places(30, 7)]
    tiles = random_tiles(iter(images), Tiling((4, 5)), 400, seed=1)
    assert tiles.shape == (800, 2, 4, 5)
    for image, some in zip(images, tiles.split(400), strict=True):
        tops, lefts = some[:, 0, 0, 0].long(), some[:, 1, 0, 0].long()
        assert set(tops.tolist()) == set(range(image.shape[1] - 3))
        assert set(lefts.tolist()) == set(range(image.shape[2] - 4))
        for tile, top, left in zip(some[:20], tops, lefts, strict=False):
            assert torch.equal(tile, image[:, top : top + 4, left : left + 5])


def test_a_seed_gives_the_same_tiles_again() -> None:
    images = [torch.rand(1, 20, 20)]
    first, again, other = (random_tiles(images, Tiling(4), 10, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_small_images_are_continued() -> None:
    tiles = random_tiles([torch.rand(1, 3, 1)], Tiling(8), 2)
    assert torch.equal(tiles[0], tiles[1])
    assert tiles.shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("images", "per_image", "message"),
    [
        ([], 1, "no images"),
        ([torch.zeros(1, 8, 8)], 0, "per_image"),
        ([torch.zeros(1, 8, 8), torch.zeros(3, 8, 8)], 1, "image 1 has 3 channels"),
        ([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 9.0)], 1, "image 1 has floating-point"),
    ],
)
def test_what_cannot_be_cut_is_refused(images: list[torch.Tensor], per_image: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_tiles(images, Tiling(4), per_image)


def test_bytes_among_other_images_are_divided_by_255() -> None:
    images = [torch.full((1, 4, 4), 51, dtype=torch.uint8), torch.full((1, 4, 4), 0.4)]
    assert random_tiles(images[:1], Tiling(4), 1).dtype == torch.uint8
    tiles = random_tiles(images, Tiling(4), 1)
    torch.testing.assert_close(tiles.flatten(1).mean(1), torch.tensor([0.2, 0.4]))


def test_feature_maps_may_hold_any_value() -> None:
    assert random_tiles([torch.full((5, 8, 8), -7.0)], Tiling(1, 1), 3, features=True).min() == -7
