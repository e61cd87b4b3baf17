"""Means over squares around positions are those of the positions that the map has there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.features.surroundings import checked_sizes, with_surroundings


@pytest.mark.parametrize("sizes", [[3], (5, 9), [13, 3, 5], []])
def test_means_follow_the_positions_own_numbers(sizes: Sequence[int]) -> None:
    own = torch.rand(2, 3, 4, 6)
    maps = with_surroundings(own, sizes)
    assert maps.shape == (2, 3 * (1 + len(sizes)), 4, 6)
    assert torch.equal(maps[:, :3], own)
    for number, size in enumerate(sizes, 1):
        means, reach = maps[:, 3 * number : 3 * number + 3], size // 2
        for row in range(4):
            for column in range(6):
                rows, columns = (slice(max(0, at - reach), at + reach + 1) for at in (row, column))
                torch.testing.assert_close(means[:, :, row, column], own[:, :, rows, columns].mean((2, 3)))


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 5, 19]), st.integers(0, 99))
def test_a_square_as_large_as_the_map_has_its_mean_everywhere(height: int, width: int, size: int, seed: int) -> None:
    own = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    means = with_surroundings(own, [2 * max(height, width) + size])[:, 2:]
    torch.testing.assert_close(means, own.mean((2, 3), keepdim=True).expand_as(own))


@pytest.mark.parametrize("sizes", [9, "9", [5, 4], [1], [-3], [3.0], ["3"], None])
def test_sizes_without_a_center_are_refused(sizes: object) -> None:
    with pytest.raises(ValueError, match="odd numbers of positions from 3"):
        checked_sizes(sizes)  # type: ignore[arg-type]
