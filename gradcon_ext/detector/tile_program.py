"""The scores of images by their tiles as a module of torch, which can be exported: images in, all parts out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.parts import OF_TILES, PAPERS, column_of
from gradcon_ext.detector.program import ScoreProgram, judged_parts
from gradcon_ext.detector.tile_balance import TileBalance
from gradcon_ext.detector.tile_settings import TileSettings

LAYERS = ("mean",)
"""Of the one column of an image's cosine, which is minus the pooled gradient."""


class TileProgram(nn.Module):
    """Scores images by their tiles as `gradcon_ext.scorer_of(detector)` does, with nothing decided at run time.

    Args:
        of_tiles: scores single tiles.
        settings: how images are cut, and scores pooled.
        part: of an image's score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what p-values and verdicts are made with; without it there are none.

    Attributes:
        settings: as above.
    """

    def __init__(
        self,
        of_tiles: ScoreProgram,
        settings: TileSettings,
        part: str = PAPERS,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self._of_tiles = of_tiles
        self.settings = settings
        self._part = part
        self._calibration = calibration
        if settings.balance is not None:
            for name, tensor in settings.balance.tensors.items():
                self.register_buffer(_buffer(name), tensor.to(of_tiles.dtype))
        if calibration is not None:
            self.register_buffer("calibration", torch.tensor(calibration.scores[part]))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the parts of the scores of images by their names, (N,) each, and (N, 1) for the cosine; float32.

        With a calibration also "p_value", and "is_outlier" of truth values. Parts of the tiles themselves, (N, rows,
        columns), have names that begin with `OF_TILES`.

        Args:
            images: (N, C, H, W), uint8 (0 to 255) or floating point (0 to 1).

        Raises:
            ValueError: images with another grid of tiles than those that the balance compares by their place.
        """
        rows, columns = self.settings.grid(*images.shape[2:])
        tiles = self.settings.tiling.cut_all(images)
        pixels = tiles if tiles.dtype == torch.uint8 else tiles.to(self._of_tiles.dtype)
        of_tiles = {
            name: part.float().reshape(-1, rows, columns) for name, part in self._scored(pixels, rows * columns).items()
        }
        pooled = {name: self.settings.pooling.of_each(part.flatten(1)) for name, part in of_tiles.items()}
        parts = {
            "reconstruction": pooled.pop("reconstruction"),
            "latent": torch.zeros_like(pooled["gradient"]),
            "cosine": -pooled["gradient"][:, None],
            **pooled,
        }
        if self._calibration is not None:
            parts |= judged_parts(self._calibration, self.get_buffer("calibration"), parts[column_of(self._part)])
        return parts | {OF_TILES + name: part for name, part in of_tiles.items()}

    def _scored(self, tiles: Tensor, count: int) -> dict[str, Tensor]:
        """Parts of tiles, of which each image has so many."""
        parts, codes = self._of_tiles.papers_parts(tiles)
        scored = {
            "reconstruction": parts["reconstruction"] + parts["latent"],
            "gradient": parts["gradient"],
            "anomaly": parts["anomaly"],
        }
        balance = self._balance()
        if balance is not None:
            places = torch.arange(count, device=codes.device).expand(codes.shape[0] // count, count).flatten()
            scored["direction"], scored["code"] = balance.code_parts(codes, places)
            scored["balanced"] = balance.balanced(scored)
        return scored

    def _balance(self) -> TileBalance | None:
        """The balance, of the buffers."""
        balance = self.settings.balance
        if balance is None:
            return None
        return balance.with_tensors({name: self.get_buffer(_buffer(name)) for name in balance.tensors})


def _buffer(name: str) -> str:
    return name.replace(".", "_")
