"""How images become the tiles that a detector is trained and scores on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.images import Images, as_image_dataset
from gradcon_ext.data.reading.preparation_facts import IMAGE
from gradcon_ext.detector.detector import Detector
from gradcon_ext.features import FeatureMaps, load_network
from gradcon_ext.features.networks import TIMM
from gradcon_ext.scoring.tile_balancing import balanced_tiles
from gradcon_ext.tiles import Pooling, Tiling, random_tiles

_MOST_NUMBERS = 1 << 28
"""In all tiles that are trained on, which are in memory together."""


@dataclass(frozen=True)
class Cut:
    """Tiles of images, or of the feature maps of images.

    Attributes:
        tiling: of pixels, or of positions of feature maps.
        pooling: what makes an image's score of its tiles'.
        features: makes the feature maps; None for tiles of pixels.
    """

    tiling: Tiling
    pooling: Pooling
    features: FeatureMaps | None = None

    def sources(self, images: Images | Sequence[Tensor]) -> Sources:
        """Return what tiles are cut from, for each image: itself, or its feature map."""
        return Sources(images, self.features)

    def random_tiles(self, images: Images, most: int, seed: int) -> Tensor:
        """Return tiles (n, C, H, W) at random places, as many from each image, to train on.

        Args:
            images: with the same number of channels; of more images than tiles, some evenly spaced ones are cut.
            most: tiles in all, about; fewer of large ones, whose numbers are bounded too.
            seed: of the places.
        """
        sources = self.sources(images)
        count = min(most, max(1, _MOST_NUMBERS // self._numbers(sources)))
        is_of_features = self.features is not None
        chosen, per_image = sources.some(count), max(1, round(count / len(sources)))
        return random_tiles(chosen, self.tiling, per_image, seed, features=is_of_features)

    def kept_in(self, detector: Detector, image: Mapping[str, Any]) -> Detector:
        """Return a detector of such tiles that can score images, without a balance.

        Args:
            detector: just trained on `random_tiles`.
            image: channels and size that images are brought to; a size of None leaves them as they are.
        """
        if self.features is not None:
            detector = self.features.kept_in(detector)
        tiles = {**self.tiling.facts, "pooling": str(self.pooling), "balance": None}
        return replace(detector, preprocessing={**detector.preprocessing, IMAGE: dict(image), "tiles": tiles})

    def balanced(
        self, detector: Detector, train: Images, held_out: Images, device: str | torch.device = "cpu"
    ) -> Detector:
        """Return the detector with a balance; see `balanced_tiles`.

        Tiles are compared with those of the same place where all images are brought to one size, and only there: a
        detector of images as they are is to score images of any other size too.
        """
        one_size = detector.preprocessing[IMAGE]["size"] is not None
        return balanced_tiles(
            detector,
            self.tiling,
            self.sources(train),
            self.sources(held_out),
            by_place=None if one_size else False,
            pooling=self.pooling,
            device=device,
        )

    def _numbers(self, sources: Sources) -> int:
        height, width = self.tiling.size
        return len(next(iter(sources.some(1)))) * height * width


class Sources:
    """What tiles are cut from, one image at a time and as often as it is asked for: (C, H, W), of any sizes.

    Args:
        images: as `as_image_dataset` takes them; or a list or tuple of images, each of its own size.
        features: makes feature maps of them, if they are to be that.
    """

    def __init__(self, images: Images | Sequence[Tensor], features: FeatureMaps | None = None) -> None:
        self._images = images if isinstance(images, list | tuple) else as_image_dataset(cast(Images, images))
        self._features = features

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield them all."""
        return (source for _, source in self.with_images())

    def with_images(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each image with what tiles are cut from it."""
        images = self._images
        for image in images.each_stored() if isinstance(images, ImageDataset) else images:
            yield image, self._source(image)

    def some(self, count: int) -> Iterator[Tensor]:
        """Yield them all, or as many that are evenly spaced among them."""
        if count >= len(self):
            yield from self
            return
        for index in (torch.arange(count) * len(self) // count).tolist():
            image = self._images.stored(index) if isinstance(self._images, ImageDataset) else self._images[index]
            yield self._source(image)

    def _source(self, image: Tensor) -> Tensor:
        return image if self._features is None else self._features(image[None])[0]


def features_of(detector: Detector, network: nn.Module | None = None) -> FeatureMaps | None:
    """Return what makes the feature maps that a detector was trained on; None of a detector of pixels.

    Args:
        detector: a trained one.
        network: the same as in training. One of timm's is found by the name in the detector. No other is, for it is
            not to be up to a file which code runs.

    Raises:
        ImportError, ValueError: the network cannot be found, or is another; see `FeatureMaps.of_detector`.
    """
    facts = detector.preprocessing.get("features")
    if facts is None:
        return None
    if network is None:
        name = str(facts.get("name"))
        if not name.startswith(TIMM):
            raise ValueError(
                f"the detector scores feature maps of {name}, and its file alone is not to decide which code runs: "
                f"give --features {name}, or from Python scorer_of(detector, network=...)"
            )
        network = load_network(name)
    return FeatureMaps.of_detector(detector, network)
