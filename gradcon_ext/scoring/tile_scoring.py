"""Scores of images by their tiles, and where in an image they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gradcon_ext.data.images import takes_features
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import PAPERS
from gradcon_ext.detector.tile_balance import TileBalance
from gradcon_ext.detector.tile_settings import TileSettings
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.tiles.pooling import Pooling
from gradcon_ext.tiles.score_map import interpolated
from gradcon_ext.tiles.tiling import TiledImage, Tiling

BATCH = 512
"""Tiles in memory at a time."""


@dataclass(frozen=True)
class TileScores:
    """Scores of the tiles of one image.

    Attributes:
        parts: scores of the tiles by the name of the part, float32 (rows, columns) each; higher is more anomalous.
            "reconstruction" (with the latent loss), "gradient" and "combined" (the paper's), and where the detector is
            balanced, "direction", "code" and "balanced".
        tiles: where in the image they are.
    """

    parts: dict[str, Tensor]
    tiles: TiledImage

    def pooled(self, pooling: Pooling) -> dict[str, Tensor]:
        """Return the image's score, (), by the name of the part."""
        return {name: pooling(scores) for name, scores in self.parts.items()}

    def score_map(self, part: str, size: tuple[int, int] | None = None) -> Tensor:
        """Return a part's scores on the pixels, float32 (H, W), linear between the centers of tiles.

        Args:
            part: its name.
            size: H and W; of the image by default. Give the image's own where the tiles are of its feature map.

        Raises:
            ValueError: there is no such part.
        """
        if part not in self.parts:
            raise ValueError(f"there is no part {part!r}; there are {', '.join(self.parts)}")
        tiles = self.tiles
        height, width = tiles.shape[1:]
        centers = tiles.tops + height / 2, tiles.lefts + width / 2
        return interpolated(self.parts[part], centers, tiles.scaled_size, size or tiles.image_size)


class TileScorer:
    """Scores images of any size, or feature maps, by their tiles.

    Args:
        scorer: of single tiles.
        tiling: how to cut images; the same as in training.
        balance: what the balanced score of tiles is made with, by `balanced_tiles`; without it there is none.
        pooling: what makes an image's score of its tiles'; the mean of the 3 largest by default.
    """

    def __init__(
        self, scorer: Scorer, tiling: Tiling, balance: TileBalance | None = None, pooling: Pooling | None = None
    ) -> None:
        self.scorer = scorer
        self.tiling = tiling
        self.balance = balance if balance is None else balance.to(next(scorer.model.parameters()).detach())
        self.pooling = pooling or Pooling("largest", 3)

    @classmethod
    def load(
        cls, path: str | Path, *, model: nn.Module | None = None, device: str | torch.device = "cpu"
    ) -> TileScorer:
        """Read a detector of tiles; see `Detector.load` for the errors and for `model`, and below."""
        return cls.from_detector(Detector.load(path, model=model), device=device)

    @classmethod
    def from_detector(cls, detector: Detector, *, device: str | torch.device = "cpu") -> TileScorer:
        """Score with a detector that `balanced_tiles` returned, or that was loaded.

        Raises:
            ValueError: the detector scores whole images, or what it says of tiles is damaged.
        """
        facts = detector.preprocessing.get("tiles")
        if facts is None:
            raise ValueError("this detector scores whole images: its file says nothing of tiles")
        settings = TileSettings.read(facts, detector.extra)
        scorer = Scorer.from_detector(detector, device=device)
        return cls(scorer, settings.tiling, settings.balance, settings.pooling)

    def score(self, image: Tensor, index: int = 0) -> TileScores:
        """Score the tiles of an image (C, H, W), `BATCH` at a time, so that memory is little more than the image's.

        Args:
            image: uint8, floating point from 0 to 1, or a feature map where the model takes those.
            index: what an error calls the image.

        Raises:
            TypeError: no tensor, or another dtype.
            ValueError: values out of range, tiles that do not fit the model, or an image with another grid of tiles
                than those that the balance compares by their place.
        """
        tiles = self.tiling.cut(image, features=takes_features(self.scorer.model), index=index)
        TileSettings(self.tiling, self.balance, self.pooling).grid(*tiles.image_size, f"image {index}")
        batches = list(self._scored(tiles))
        names = batches[0].keys()
        parts = {name: torch.cat([batch[name] for batch in batches]).reshape(tiles.grid) for name in names}
        return TileScores(parts, tiles)

    def score_images(self, images: Iterable[Tensor]) -> dict[str, Tensor]:
        """Return the pooled scores (N,) of images, one at a time, by the name of the part; errors are as above."""
        pooled = [self.score(image, index).pooled(self.pooling) for index, image in enumerate(images)]
        if not pooled:
            raise ValueError("there are no images")
        return {name: torch.stack([scores[name] for scores in pooled]) for name in pooled[0]}

    def _scored(self, tiles: TiledImage) -> Iterable[dict[str, Tensor]]:
        balance, first = self.balance, 0
        for codes, scores in self.scorer.codes_and_scores(tiles, BATCH):
            parts = {
                "reconstruction": scores.reconstruction + scores.latent,
                "gradient": scores.gradient,
                PAPERS: scores.anomaly,
            }
            if balance is not None:
                places = torch.arange(first, first + len(codes), device=codes.device)
                distances = (part.to("cpu", torch.float32) for part in balance.code_parts(codes, places))
                parts |= dict(zip(("direction", "code"), distances, strict=True))
                parts["balanced"] = balance.balanced(parts).float()
            first += len(codes)
            yield parts
