"""How `gradcon train` takes images: whole, or in tiles of their pixels or of their feature maps."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradcon_ext.cli.reading_options import DEFAULT_SIZE
from gradcon_ext.cli.taking_options import network_of
from gradcon_ext.data.image_dataset import stored_batches
from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.images import Images, as_image_dataset
from gradcon_ext.data.reading import ImageFile
from gradcon_ext.data.reading.sizes import sizes_of
from gradcon_ext.features import FeatureMaps
from gradcon_ext.features.networks import TIMM
from gradcon_ext.scoring.cut import Cut
from gradcon_ext.tiles import Pooling, Tiling, choose

_FEATURES_SIZE = 224
_GRID = 14
_POOLING = Pooling("largest", 3)
_TILES = {False: 12_000, True: 20_000}
"""Tiles to train on, by whether they are of features."""
_AT_ONCE = 16
"""Images whose feature maps are made together."""


@dataclass(frozen=True)
class Features:
    """What makes feature maps, by its name.

    Attributes:
        name: of a network, as `load_network` takes it.
        stages: names of modules; none for what the network returns.
        grid: rows and columns.
        surroundings: sizes of squares around each position, whose means are added.
        bands: heights of bands, of which it is added how far they depart from the rest.
    """

    name: str
    stages: tuple[str, ...]
    grid: tuple[int, int]
    surroundings: tuple[int, ...] = ()
    bands: tuple[int, ...] = ()

    def of(self, images: Images, network: nn.Module) -> FeatureMaps:
        """Return the feature maps that a network makes, standardised over images."""
        maps = FeatureMaps(
            network, self.stages, self.grid, name=self.name, surroundings=self.surroundings, bands=self.bands
        )
        return maps.standardised(stored_batches(as_image_dataset(images), _AT_ONCE))

    @property
    def added(self) -> dict[str, tuple[int, ...]]:
        """What is added to each position's own features; nothing of what there is none of, as older runs have it."""
        added = {"surroundings": self.surroundings, "bands": self.bands}
        return {name: numbers for name, numbers in added.items() if numbers}

    @property
    def facts(self) -> dict[str, Any]:
        """What they are, as JSON can hold it."""
        return {"name": self.name, "stages": list(self.stages), "grid": list(self.grid)} | {
            name: list(numbers) for name, numbers in self.added.items()
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Features:
        """Take back what `facts` returned."""
        added = {name: tuple(facts.get(name, ())) for name in ("surroundings", "bands")}
        return cls(facts["name"], tuple(facts["stages"]), height_width(facts["grid"]), **added)


@dataclass(frozen=True)
class Taking:
    """How images are taken.

    Attributes:
        size: that whole images are brought to; None leaves each at its own.
        tiling: of tiles; None for whole images.
        pooling: of the scores of tiles.
        tiles: to train on, in all.
        features: that tiles are of; None for pixels.
        reason: what was chosen and why, where it was not said; or empty.
    """

    size: tuple[int, int] | None
    tiling: Tiling | None = None
    pooling: Pooling = _POOLING
    tiles: int = _TILES[False]
    features: Features | None = None
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """What a resumed run has to have in common, as JSON can hold it; nothing for whole images, as it always was."""
        if self.tiling is None:
            return {}
        features = None if self.features is None else self.features.facts
        size = None if self.size is None else list(self.size)
        given = {"size": size, "tiling": self.tiling.facts, "pooling": str(self.pooling), "tiles": self.tiles}
        return {"taking": {**given, "features": features}}

    @property
    def options(self) -> dict[str, Any]:
        """The options that take images in the same way, as they are written; without a size where there is none."""
        options: dict[str, Any] = {} if self.size is None else {"size": _text(self.size)}
        if self.tiling is None:
            return options
        options |= {"tile": _text(self.tiling.size), "stride": _text(self.tiling.stride)}
        options |= {"pool": str(self.pooling), "tiles": self.tiles}
        if self.features is None:
            contrast = {"even-contrast": True} if self.tiling.even_contrast else {}
            return {**options, "scale": self.tiling.scale, **contrast}
        stages = {"stages": ",".join(self.features.stages)} if self.features.stages else {}
        added = {name: ",".join(map(str, numbers)) for name, numbers in self.features.added.items()}
        return {**options, "features": self.features.name, "grid": _text(self.features.grid), **stages, **added}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Taking:
        """Take back what `facts` returned."""
        features, size = facts["features"], facts["size"]
        known = None if features is None else Features.of_facts(features)
        tiling, pooling = Tiling(**facts["tiling"]), Pooling.parse(facts["pooling"])
        return cls(None if size is None else height_width(size), tiling, pooling, facts["tiles"], known)

    def network(self, device: str | torch.device) -> nn.Module | None:
        """Load the network of the features, if there are any."""
        return None if self.features is None else network_of(self.features.name).to(device)

    def cut(self, images: Images, network: nn.Module | None) -> Cut | None:
        """Return how to cut such images; None for whole ones.

        Args:
            images: to train on, by which feature maps are standardised.
            network: what `network` returned, which is asked before images are read: it may fail.
        """
        if self.tiling is None:
            return None
        features = None if self.features is None or network is None else self.features.of(images, network)
        return Cut(self.tiling, self.pooling, features)


def taking_of(args: argparse.Namespace, files: Sequence[ImageFile], before: Mapping[str, Any] | None = None) -> Taking:
    """Return how the options of `add_taking` and `add_preparation`, or what they leave open, have images taken.

    Args:
        args: the options.
        files: of images to train on, whose sizes decide where no option does.
        before: settings of the run that is resumed, which decide then; None for a new run.

    Raises:
        ValueError: options that do not fit each other, or what the run before says is damaged.
    """
    size = None if args.size is None else height_width(args.size)
    if args.tile is not None or args.features is not None:
        taking = _given(args, size)
        _refuse_larger_tiles(taking, args, files)
        return taking
    if size is not None:
        return Taking(size)
    if before is not None:
        return _before(before)
    sizes = list(sizes_of(files, args.max_pixels, args.workers))
    if not sizes:  # whoever reads them will say why
        return Taking(height_width(DEFAULT_SIZE))
    choice = choose(sizes)
    return Taking(choice.size, choice.tiling, reason=f"{choice.reason}. --size or --tile takes them otherwise.")


def refuse_placing(args: argparse.Namespace, taking: Taking) -> None:
    """Raise ValueError for options of a size that there is none of."""
    for name in ("fit", "reduced_jpeg"):
        if taking.size is None and getattr(args, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} goes with --size: tiles are cut from images as they are")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _given(args: argparse.Namespace, size: tuple[int, int] | None) -> Taking:
    is_of_features = args.features is not None
    scale = 1.0 if args.scale is None else args.scale
    tiling = Tiling(args.tile or 1, args.stride, scale, bool(args.even_contrast))
    pooling = args.pool or _POOLING
    tiles = args.tiles or _TILES[is_of_features]
    if not is_of_features:
        reason = "" if size else f"images as they are -> {tiling}: without --size nothing is resized but by --scale."
        return Taking(size, tiling, pooling, tiles, reason=reason)
    reason = ""
    if size is None:
        size = height_width(_FEATURES_SIZE)
        reason = f"images -> {size[0]}x{size[1]}, which most networks of features are made for; --size takes another."
    return Taking(size, tiling, pooling, tiles, _features(args), reason)


def _refuse_larger_tiles(taking: Taking, args: argparse.Namespace, files: Sequence[ImageFile]) -> None:
    """Raise ValueError for tiles that nothing is large enough for, and that would be mostly reflections."""
    tiling, what = taking.tiling, "images have"
    assert tiling is not None
    sizes: Iterable[tuple[int, int]]
    if taking.features is not None:
        sizes, what = [taking.features.grid], "feature maps have"
    elif taking.size is not None:
        sizes = [taking.size]
    else:
        sizes = sizes_of(files, args.max_pixels, args.workers)
    known = {tiling.scaled(*size) for size in sizes}
    if known and not any(tiling.fits_in(*size) for size in known):
        height, width = map(max, zip(*known, strict=True))
        scaled = "" if tiling.scale == 1 else f" at {tiling.scale:g} times"
        raise ValueError(f"--tile {_text(tiling.size)} is larger than {what}{scaled}: {height}x{width} at most")


def _features(args: argparse.Namespace) -> Features:
    name, stages = args.features, args.stages or ()
    if name.startswith(TIMM) and stages:
        if not all(stage.isdecimal() for stage in stages):
            raise ValueError(f"--stages of timm's networks are numbers such as 1,2,3, got {','.join(stages)}")
        name, stages = f"{name}:{','.join(stages)}", ()
    return Features(name, stages, height_width(args.grid or _GRID), args.surroundings or (), args.bands or ())


def _before(settings: Mapping[str, Any]) -> Taking:
    try:
        facts = settings["data"].get("taking")
        return Taking(height_width(settings["model"]["size"])) if facts is None else Taking.of_facts(facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the run does not say how it took its images: give --size or --tile ({error!r})") from error
