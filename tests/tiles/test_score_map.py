from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.tiles import Tiling
from gradcon_ext.tiles.score_map import interpolated

NUMBERS = st.integers(1, 30)


@given(size=st.integers(1, 9), height=NUMBERS, width=NUMBERS, out=st.tuples(NUMBERS, NUMBERS))
def test_constant_scores_have_a_constant_map(size: int, height: int, width: int, out: tuple[int, int]) -> None:
    tiles = Tiling(size).cut(torch.zeros(1, height, width))
    centers = tiles.tops + size / 2, tiles.lefts + size / 2
    scores = interpolated(torch.full(tiles.grid, -2.5), centers, tiles.scaled_size, out)
    assert scores.shape == out
    assert (scores == -2.5).all()


@given(data=st.data(), rows=st.integers(1, 6), columns=st.integers(1, 6), out=st.tuples(NUMBERS, NUMBERS))
def test_scores_are_linear_between_centers(data: st.DataObject, rows: int, columns: int, out: tuple[int, int]) -> None:
    centers = [
        torch.tensor(sorted(data.draw(st.lists(st.integers(0, 40), min_size=count, max_size=count, unique=True))))
        for count in (rows, columns)
    ]
    grid = torch.randn(rows, columns, dtype=torch.float64)
    at = [(np.arange(length) + 0.5) * 40 / length for length in out]
    along = np.stack([np.interp(at[0], centers[0], column) for column in grid.T.numpy()], 1)
    expected = np.stack([np.interp(at[1], centers[1], row) for row in along])
    given_map = interpolated(grid, (centers[0], centers[1]), (40, 40), out)
    np.testing.assert_allclose(given_map.numpy(), expected, atol=1e-9)
