"""The balanced score of tiles: what turns the parts of a tile's score into it, and how a detector keeps that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gradcon_ext.detector.balance import TERMS, WEIGHTS, at_length_1, weighted
from gradcon_ext.detector.places import ARRAYS, Places

_PREFIX = "tiles"


@dataclass(frozen=True)
class TileBalance:
    """What turns the parts of a tile's score into the balanced one; see `gradcon_ext.detector.balance.Balance`.

    Attributes:
        direction: of training tiles' codes at length 1.
        code: of training tiles' codes.
        center: mean of each part over tiles of held-out inliers, by the names of `TERMS`.
        scale: their standard deviation, or 1 where they are all alike.
        grid: rows and columns of tiles, if each place of it has a distribution of its own; None if all share one.
    """

    direction: Places
    code: Places
    center: Mapping[str, float]
    scale: Mapping[str, float]
    grid: tuple[int, int] | None

    def __post_init__(self) -> None:
        expected = 1 if self.grid is None else self.grid[0] * self.grid[1]
        if {self.direction.count, self.code.count} != {expected}:
            raise ValueError(f"expected {expected} places of tiles, got {self.direction.count} and {self.code.count}")

    def code_parts(self, codes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """How far the direction of codes (n, D), and how far they themselves, leave those of training; (n,) each.

        Args:
            codes: of tiles.
            places: of the tiles in the grid, row by row, int64 (n,).

        Raises:
            ValueError: codes of another size than those of training.
        """
        self.check_size(codes.shape[1])
        places = places * 0 if self.grid is None else places
        return self.direction.distance(at_length_1(codes), places), self.code.distance(codes, places)

    def check_size(self, size: int) -> None:
        """Refuse codes of another size than those of training, by a ValueError."""
        if size != len(self.code.mean):
            raise ValueError(f"the balance is of codes of {len(self.code.mean)} numbers; the model's have {size}")

    def balanced(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the balanced score (n,) of parts (n,), by the names of `TERMS`."""
        score: Tensor = weighted(parts, self.center, self.scale, WEIGHTS)
        return score

    def to(self, like: Tensor) -> TileBalance:
        """With tensors of the dtype and on the device of another one."""
        return replace(self, direction=self.direction.to(like), code=self.code.to(like))

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> TileBalance:
        """With others, by the names of `tensors`, which are not looked at."""
        direction, code = (
            Places(*(tensors[f"{_PREFIX}.{name}.{array}"] for array in ARRAYS)) for name in ("direction", "code")
        )
        return replace(self, direction=direction, code=code)

    @property
    def facts(self) -> dict[str, Any]:
        """All but the tensors, as JSON can hold it."""
        grid = None if self.grid is None else list(self.grid)
        return {"center": dict(self.center), "scale": dict(self.scale), "grid": grid}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by their names."""
        return self.direction.tensors(f"{_PREFIX}.direction") | self.code.tensors(f"{_PREFIX}.code")

    @classmethod
    def read(cls, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TileBalance:
        """Take back facts and tensors.

        Raises:
            ValueError: some are missing or do not fit each other.
        """
        grid = facts.get("grid")
        if grid is not None and not _is_grid(grid):
            raise ValueError(f"expected the grid of tiles to be rows and columns, got {str(grid)[:40]}")
        for name, least in (("center", -math.inf), ("scale", 0.0)):
            parts = facts.get(name)
            if not isinstance(parts, dict) or parts.keys() != set(TERMS) or not _between(parts, least):
                raise ValueError(f"expected the {name} of the parts {list(TERMS)}, got {str(parts)[:100]}")
        direction, code = (Places.read(f"{_PREFIX}.{name}", tensors) for name in ("direction", "code"))
        return cls(direction, code, facts["center"], facts["scale"], None if grid is None else (grid[0], grid[1]))


def _is_grid(grid: object) -> bool:
    return isinstance(grid, list) and len(grid) == 2 and all(isinstance(count, int) and count > 0 for count in grid)


def _between(parts: Mapping[str, Any], least: float) -> bool:
    return all(isinstance(number, float) and least < number < math.inf for number in parts.values())
