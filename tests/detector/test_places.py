"""Distances at places are Mahalanobis distances, and what a file says of them is checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.detector.balance import WEIGHTS
from gradcon_ext.detector.places import ARRAYS, Places
from gradcon_ext.detector.tile_balance import TileBalance

torch.manual_seed(0)
PLACES = Places(torch.randn(5), torch.randn(5, 3), torch.randn(4, 3), torch.randn(4, 3, 3))
SHARED = Places(torch.randn(5), torch.randn(5, 3), torch.randn(1, 3), torch.randn(1, 3, 3))
ONES = dict.fromkeys(WEIGHTS, 1.0)


@pytest.mark.parametrize("places", [PLACES, SHARED])
def test_the_distance_is_that_of_mahalanobis(places: Places) -> None:
    codes, at = torch.randn(9, 5), torch.arange(9) % places.count
    expected = []
    for code, place in zip(codes.double().numpy(), at.tolist(), strict=True):
        centered = (code - places.mean.numpy()) @ places.basis.numpy() - places.centers[place].numpy()
        factor = places.factors[place].double().numpy()
        expected.append(centered @ np.linalg.inv(np.linalg.inv(factor) @ np.linalg.inv(factor).T) @ centered)
    np.testing.assert_allclose(places.distance(codes, at).numpy(), expected, rtol=1e-3)


def test_tensors_are_read_back() -> None:
    again = Places.read("p", PLACES.tensors("p"))
    assert all(torch.equal(getattr(again, name), getattr(PLACES, name)) for name in ARRAYS)
    with pytest.raises(ValueError, match="no tensor q.mean"):
        Places.read("q", PLACES.tensors("p"))


@pytest.mark.parametrize("name", ARRAYS)
def test_tensors_that_do_not_fit_are_refused(name: str) -> None:
    tensors = PLACES.tensors("p")
    for wrong in (
        tensors[f"p.{name}"][1:],
        tensors[f"p.{name}"][None],
        torch.full_like(tensors[f"p.{name}"], torch.nan),
    ):
        with pytest.raises(ValueError, match="places of tiles"):
            Places.read("p", {**tensors, f"p.{name}": wrong})


def test_a_balance_is_read_back() -> None:
    balance = TileBalance(PLACES, PLACES, ONES, ONES, (2, 2))
    again = TileBalance.read(balance.facts, balance.tensors)
    codes, at = torch.randn(4, 5), torch.arange(4)
    for given, expected in zip(again.code_parts(codes, at), balance.code_parts(codes, at), strict=True):
        assert torch.equal(given, expected)
    assert again.grid == (2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": [2, 3]}, "expected 6 places"),
        ({"grid": None}, "expected 1 places"),
        ({"grid": [2]}, "rows and columns"),
        ({"grid": [2, -2]}, "rows and columns"),
        ({"center": {}}, "center of the parts"),
        ({"scale": None}, "scale of the parts"),
        ({"scale": {**ONES, "code": 0.0}}, "scale of the parts"),
        ({"center": {**ONES, "code": float("nan")}}, "center of the parts"),
        ({"center": {**ONES, "code": "1"}}, "center of the parts"),
    ],
)
def test_facts_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    balance = TileBalance(PLACES, PLACES, ONES, ONES, (2, 2))
    with pytest.raises(ValueError, match=message):
        TileBalance.read({**balance.facts, **change}, balance.tensors)


def test_codes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="codes of 5 numbers; the model's have 6"):
        TileBalance(PLACES, PLACES, ONES, ONES, (2, 2)).code_parts(torch.zeros(4, 6), torch.arange(4))
