"""How a detector of tiles cuts images, compares their tiles and makes one score of theirs, out of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.reading.preparation_facts import IMAGE
from gradcon_ext.detector.tile_balance import TileBalance
from gradcon_ext.tiles.pooling import Pooling
from gradcon_ext.tiles.tiling import Tiling


@dataclass(frozen=True)
class TileSettings:
    """What makes the score of an image of those of its tiles.

    Attributes:
        tiling: how images are cut.
        balance: what the balanced score of tiles is made with; without it there is none.
        pooling: what makes an image's score of its tiles'.
    """

    tiling: Tiling
    balance: TileBalance | None
    pooling: Pooling

    @classmethod
    def read(cls, facts: Any, tensors: Mapping[str, Tensor]) -> TileSettings:
        """Read what a detector says of its tiles.

        Args:
            facts: "tiles" of its preprocessing.
            tensors: its further ones, `Detector.extra`.

        Raises:
            ValueError: they are damaged.
        """
        try:
            tiling = Tiling(*(facts[name] for name in ("size", "stride", "scale", "even_contrast")))
            given = facts["balance"]
            balance = None if given is None else TileBalance.read(given, tensors)
            return cls(tiling, balance, Pooling.parse(facts["pooling"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"what the detector says of tiles is damaged: {str(facts)[:200]}") from error

    def grid(self, height: int, width: int, image: str = "an image") -> tuple[int, int]:
        """Return how many rows and columns of tiles an image of this height and width has.

        Raises:
            ValueError: they are others than those that the balance compares by their place; the message begins with
                what the image is called.
        """
        grid = self.tiling.grid(height, width)
        if self.balance is not None and self.balance.grid not in (None, grid):
            known, given = (f"{rows}x{columns}" for rows, columns in (self.balance.grid or (0, 0), grid))
            raise ValueError(
                f"{image} of {height}x{width} has a grid of {given} tiles; "
                f"the detector compares tiles by their place in one of {known}"
            )
        return grid


def tiled_size(preprocessing: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of what tiles are cut from, images or feature maps, if all are brought to one.

    Raises:
        ValueError: what the detector says of it is damaged.
    """
    known = preprocessing.get("features") or preprocessing.get(IMAGE)
    size = known.get("grid", known.get("size")) if isinstance(known, dict) else known
    return None if size is None else height_width(size)
