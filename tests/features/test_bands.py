"""Bands depart from the medians of columns, whatever runs down the image all along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.features.bands import band_departures, checked_heights


@pytest.mark.parametrize("heights", [[1], (3, 7), [13], []])
@pytest.mark.parametrize("rows", [1, 5, 6])
def test_departures_are_means_over_bands(heights: Sequence[int], rows: int) -> None:
    own = torch.rand(2, 3, rows, 4)
    bands = band_departures(own, heights)
    assert len(bands) == len(heights)
    departures = own.numpy() - np.sort(own.numpy(), 2)[:, :, (rows - 1) // 2, None]
    for height, band in zip(heights, bands, strict=True):
        assert band.shape == own.shape
        for row in range(rows):
            around = departures[:, :, max(0, row - height // 2) : row + height // 2 + 1]
            for column in range(4):
                np.testing.assert_allclose(band[:, :, row, column], around.mean((2, 3)), atol=1e-6)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 19]), st.integers(0, 99))
def test_what_is_the_same_along_each_column_falls_out(rows: int, columns: int, height: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    own = torch.rand(1, 2, rows, columns, generator=generator)
    streaks = torch.randn(1, 2, 1, columns, generator=generator)
    (expected,), (band,) = (band_departures(maps, [height]) for maps in (own, own + streaks))
    torch.testing.assert_close(band, expected, atol=1e-5, rtol=0)


def test_a_part_of_less_than_half_of_the_rows_departs_alone() -> None:
    maps = torch.zeros(1, 1, 9, 3)
    maps[:, :, 5:] = 2
    (band,) = band_departures(maps, [1])
    assert torch.equal(band, maps)


@pytest.mark.parametrize("heights", [7, "7", [5, 4], [0], [-3], [3.0], ["3"], [True], None])
def test_heights_without_a_middle_are_refused(heights: object) -> None:
    with pytest.raises(ValueError, match="odd numbers of rows"):
        checked_heights(heights)  # type: ignore[arg-type]
