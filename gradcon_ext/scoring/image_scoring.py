"""One way to score images with any detector, of whole images or of tiles, of pixels or of feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.data.images import Images
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.parts import OF_BALANCE, PAPERS
from gradcon_ext.features import FeatureMaps
from gradcon_ext.scoring.cut import Sources, features_of
from gradcon_ext.scoring.explanation import Explained, HasMaps
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.scoring.scores import Scores, joined, judged
from gradcon_ext.scoring.tile_scoring import TileScorer, TileScores


class ImageScorer(HasMaps, Protocol):
    """What scores images: `Scorer`, or `PooledScorer`."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the columns of `Scores.cosine`."""

    @property
    def part(self) -> str:
        """Of the score, decides what is an outlier."""

    @property
    def alpha(self) -> float:
        """Weight of the alignment in the paper's score."""

    @property
    def calibration(self) -> Calibration | None:
        """What p-values and verdicts are made with."""

    def score(self, images: Any, batch_size: int = 512) -> Scores:
        """Score every image; those of a data set are read at most `batch_size` at a time."""

    def explain(self, images: Any, batch_size: int = 64) -> Explained:
        """Tell where in images their scores come from, all maps at once; `maps` yields them as they come."""


def scorer_of(
    detector: Detector, device: str | torch.device = "cpu", *, network: nn.Module | None = None
) -> ImageScorer:
    """Return what scores images with a detector, whatever it was trained on.

    Args:
        detector: just trained, or loaded.
        device: to score on.
        network: that makes the feature maps, for a detector of those; one of timm's is found by its name.

    Raises:
        ImportError, ValueError: the network is missing or another one, or what the detector says of tiles is damaged.
    """
    if not scores_tiles(detector.preprocessing):
        return Scorer.from_detector(detector, device=device)
    features = features_of(detector, network)
    if features is not None:
        features.network.to(usable_device(device))
    return PooledScorer(
        TileScorer.from_detector(detector, device=device), features, detector.part, detector.calibration
    )


@dataclass(frozen=True)
class ScoreMaps:
    """Where in N images the scores of their tiles come from.

    Attributes:
        maps: by name, float32 (H, W) of each image at its own size, of which higher is more anomalous: "score", of the
            part that decides, and all parts, named after it, "score.gradient" and so on.
    """

    maps: dict[str, list[Tensor]]


class PooledScorer:
    """Scores images of any sizes by their tiles: the columns of `Scores` are pooled ones.

    Of `Scores.cosine` there is one column, minus the pooled gradient loss, and "latent" is in "reconstruction". Each
    part is pooled by itself, so that an image's combined score is not the sum of its own parts.

    Args:
        tiles: scores the tiles of an image.
        features: makes the feature maps that tiles are cut from; None where it is the images.
        part: of the score, decides what is an outlier.
        calibration: of pooled scores.

    Raises:
        ValueError: the part needs a balance that the tiles lack, or is none of the calibration.
    """

    layers = ("mean",)

    def __init__(
        self,
        tiles: TileScorer,
        features: FeatureMaps | None = None,
        part: str = PAPERS,
        calibration: Calibration | None = None,
    ) -> None:
        if part in OF_BALANCE and tiles.balance is None:
            raise ValueError(f"the part {part!r} needs a detector with a balance; see gradcon_ext.balanced_tiles")
        if calibration is not None:
            calibration.threshold(part)  # for its check of the part
        self.tiles = tiles
        self.features = features
        self.part = part
        self.calibration = calibration

    @property
    def alpha(self) -> float:
        """Weight of the alignment in the paper's score of a tile."""
        return self.tiles.scorer.alpha

    def score(self, images: Images | Sequence[Tensor], batch_size: int = 512) -> Scores:
        """Score every image, one at a time whatever the batch size.

        Args:
            images: as `Scorer.score` takes them, or a list of images (C, H, W), each of its own size.
            batch_size: is there for the likeness to `Scorer.score`.

        Raises:
            TypeError, ValueError: as `TileScorer.score`, or no images.
        """
        scored = [_pooled(scores, self.tiles) for _, scores in self._scored(images)]
        if not scored:
            raise ValueError("there are no images")
        scores = joined(scored)
        return scores if self.calibration is None else judged(scores, self.part, self.calibration)

    def explain(self, images: Images | Sequence[Tensor], batch_size: int = 64) -> ScoreMaps:
        """Tell where in images their scores come from; the arguments, and what is raised, are those of `score`."""
        every = list(self.maps(images, batch_size))
        if not every:
            raise ValueError("there are no images")
        return ScoreMaps({name: [maps[name][0] for maps in every] for name in every[0]})

    def maps(self, images: Images | Sequence[Tensor], batch_size: int = 64) -> Iterator[dict[str, Tensor]]:
        """Yield the maps of `ScoreMaps`, (1, H, W), an image at a time, for streams that are not all kept."""
        for image, scores in self._scored(images):
            size = (image.shape[1], image.shape[2])
            parts = {name: scores.score_map(name, size)[None] for name in scores.parts}
            yield {"score": parts[self.part], **{f"score.{name}": values for name, values in parts.items()}}

    def _scored(self, images: Images | Sequence[Tensor]) -> Iterator[tuple[Tensor, TileScores]]:
        for index, (image, source) in enumerate(Sources(images, self.features).with_images()):
            yield image, self.tiles.score(source, index)


def _pooled(scores: TileScores, tiles: TileScorer) -> Scores:
    pooled = {name: score.reshape(1) for name, score in scores.pooled(tiles.pooling).items()}
    reconstruction = pooled["reconstruction"]
    of_balance = {name: pooled[name] for name in OF_BALANCE if name in pooled}
    whole = Scores(reconstruction, torch.zeros_like(reconstruction), -pooled["gradient"][:, None], pooled[PAPERS])
    return whole._replace(**of_balance)
