"""The options that say whether images are taken whole or in tiles, and of what."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence

from torch import nn

from gradcon_ext.cli import arguments
from gradcon_ext.cli.reading_options import image_size
from gradcon_ext.detector.detector import Detector
from gradcon_ext.features import load_network
from gradcon_ext.features.bands import checked_heights
from gradcon_ext.features.surroundings import checked_sizes
from gradcon_ext.scoring.image_scoring import ImageScorer, scorer_of
from gradcon_ext.tiles import Pooling

_OF_FEATURES = ("stages", "grid", "surroundings", "bands")
NAMES = ("tile", "stride", "scale", "even_contrast", "pool", "tiles", "features", *_OF_FEATURES)
"""Names of the options of `add_taking`."""

_NEEDS = {
    "stride": ("tile", "features"),
    "pool": ("tile", "features"),
    "tiles": ("tile", "features"),
    "scale": ("tile",),
    "even_contrast": ("tile",),
    **dict.fromkeys(_OF_FEATURES, ("features",)),
}
_WHOLE = ("scale", "even_contrast")
"""Options of tiles of pixels, which do not go with feature maps."""


def add_taking(parser: arguments.Group) -> None:
    """Add the options whose values a detector of tiles keeps."""
    parser.add_argument(
        "--tile",
        metavar="PIXELS",
        type=image_size,
        help="train on tiles of that size, as 32 or 32x48, and score images by theirs; images are as they are, or of "
        "--size. With --features, positions of the feature maps (default there: 1)",
    )
    parser.add_argument(
        "--stride",
        metavar="PIXELS",
        type=image_size,
        help="from one tile to the next in scoring (default: half a tile)",
    )
    parser.add_argument("--scale", type=scale, help="what images are resized by before they are cut (default: 1)")
    parser.add_argument(
        "--even-contrast",
        action="store_true",
        default=None,
        help="bring each tile to one mean and contrast, so that light and shade of an image do not count",
    )
    parser.add_argument(
        "--pool",
        metavar="max|largest:K|quantile:Q",
        type=pooling,
        help="an image's score from its tiles': the largest, the mean of the K largest, or a quantile (default: "
        "largest:3)",
    )
    parser.add_argument(
        "--tiles",
        metavar="N",
        type=arguments.positive_int,
        help="tiles to train on in all, about, at random places; as many of each image, and fewer where they would "
        "take more than 2^28 numbers (default: 12000, of features 20000)",
    )
    parser.add_argument(
        "--features",
        metavar="MODEL",
        help="train and score on the feature maps of a frozen network instead of pixels: timm:NAME, with its "
        "pretrained weights, or package.module:function, which returns a torch.nn.Module",
    )
    parser.add_argument(
        "--stages",
        metavar="NAME,NAME",
        type=names,
        help="whose outputs are taken: of timm numbers (default: 1,2,3), of other networks names of modules (default: "
        "what the network returns)",
    )
    parser.add_argument(
        "--grid",
        metavar="N",
        type=image_size,
        help="rows and columns that the maps of all stages are resampled to (default: 14)",
    )
    parser.add_argument(
        "--surroundings",
        metavar="N,N",
        type=surroundings,
        help="sizes of squares of positions, as 9, whose mean features follow each position's own, so that large flaws "
        "show (default: none)",
    )
    parser.add_argument(
        "--bands",
        metavar="N,N",
        type=bands,
        help="heights of bands across the image in rows of positions, as 7: how far the band around a position departs "
        "from the medians of its columns follows as well, for surfaces whose structure runs down the image (default: "
        "none)",
    )


def refuse_misfits(args: argparse.Namespace) -> None:
    """Raise ArgumentError for options of tiles and features that do not go together."""
    for name, needed in _NEEDS.items():
        if getattr(args, name) is not None and all(getattr(args, other) is None for other in needed):
            raise argparse.ArgumentError(None, f"{_option(name)} needs {' or '.join(map(_option, needed))}")
    for name in _WHOLE:
        if args.features is not None and getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"{_option(name)} is of tiles of pixels: it does not go with --features")


def add_network(parser: arguments.Group) -> None:
    """Add `--features` of the commands that are given a detector."""
    parser.add_argument(
        "--features",
        metavar="MODULE:FUNCTION",
        help="the network of a detector of feature maps, as in training: a file alone does not decide which code runs "
        "(not needed for timm's)",
    )


def open_scorer(detector: Detector, args: argparse.Namespace) -> ImageScorer:
    """Return what scores images with a detector; `args` has what `add_network` and `add_device` add.

    Raises:
        ValueError: the detector has another network than the one given, or needs one.
    """
    if args.features is not None and "features" not in detector.preprocessing:
        raise ValueError("--features: the detector scores pixels")
    network = None if args.features is None else network_of(args.features)
    try:
        return scorer_of(detector, args.device, network=network)
    except ImportError as error:  # of timm
        raise ValueError(str(error)) from error


def network_of(name: str) -> nn.Module:
    """Load a network by its name; what cannot be imported is a ValueError.

    A module in the current folder is found too, after all that are installed.
    """
    if "" not in sys.path:
        sys.path.append("")
    try:
        return load_network(name)
    except ImportError as error:
        raise ValueError(f"--features {name}: {error}") from error


def scale(text: str) -> float:
    """Parse a number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, got {text[:100]!r}")
    return value


def pooling(text: str) -> Pooling:
    """Parse how the scores of tiles become one."""
    try:
        return Pooling.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def names(text: str) -> tuple[str, ...]:
    """Parse names with commas between them."""
    given = tuple(name.strip() for name in text.split(","))
    if not all(given) or len(set(given)) < len(given):
        raise argparse.ArgumentTypeError(f"expected different names with commas between them, got {text[:100]!r}")
    return given


def surroundings(text: str) -> tuple[int, ...]:
    """Parse the sizes of squares with commas between them."""
    return _numbers(text, checked_sizes)


def bands(text: str) -> tuple[int, ...]:
    """Parse the heights of bands with commas between them."""
    return _numbers(text, checked_heights)


def _numbers(text: str, checked: Callable[[Sequence[int]], tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return checked([int(number) for number in names(text)])
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(f"expected different odd numbers such as 5,9, got {text[:100]!r}") from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
