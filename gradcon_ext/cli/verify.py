"""`gradcon verify`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from gradcon_ext.cli import arguments
from gradcon_ext.detector.stored_chain import Array, StoredChain, StoredTiles, read_stored_chain
from gradcon_ext.export.engines import EXPORTED, OWN
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.standard import (
    TOLERANCE,
    Standard,
    standard_for,
    standard_of,
    standard_of_whole_images,
)

_DETAILS = f"""\
A detector's file holds a few images of noise and their scores from when it
was saved. They are scored once more by an engine, and the largest difference
of each part is printed, relative to scores above 1 (of the balanced score, to
the size of what is added up). More than {TOLERANCE:g} is a failure, or than four times
what float32 itself loses where that is more.

Of a detector of tiles there are single tiles, and whole images scored by
theirs ("image."). runtime and any-model score single tiles, a file that was
exported whole images, and fused both. A file for images of another size than
the golden ones is compared with our op, on noise, after our op itself with
the golden scores.

  fused      our op, which gradcon score uses by default
  runtime    gradcon_ext.runtime, which needs no torch
  any-model  the model itself, of which each sample's gradient is formed
  onnx, pt2, aoti  a file that gradcon export wrote, given by --file
"""

_EXAMPLES = """\
  gradcon verify runs/photos
  gradcon verify runs/photos --engine onnx --file photos.onnx
"""

_OF_IMAGES = "image."
"""What the names of whole images' scores begin with."""
_HAVE_NONE = "for an earlier version wrote it: Detector.load(path).save(path) adds them"


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "compare an engine with the scores in a detector's file"
    parser = arguments.add_command(commands, "verify", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "detector", metavar="DETECTOR", type=arguments.path, help="a run's folder, or a detector's file"
    )
    parser.add_argument("--engine", choices=(*OWN, *EXPORTED), default="fused", help="default: %(default)s")
    parser.add_argument("--file", metavar="FILE", type=arguments.path, help="what gradcon export wrote")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the differences; raise ValueError if one is too large."""
    if (args.engine in EXPORTED) != (args.file is not None):
        raise argparse.ArgumentError(None, f"--file goes with --engine {', '.join(EXPORTED)}, and only with those")
    path, detector = read_stored_chain(args.detector)
    if detector.golden is None:
        raise ValueError(f"{path} holds no golden scores, {_HAVE_NONE}")
    tiles, images = detector.tiles, detector.golden.images
    if tiles is not None and tiles.golden is None:
        print(f"{path} holds no golden scores of whole images, {_HAVE_NONE}", file=sys.stderr)
    standard = standard_of(detector, detector.golden)
    if args.file is None:
        _report(standard, OWN[args.engine](path, detector, images))
        if tiles is not None and tiles.golden is not None and args.engine == "fused":
            of_images = standard_of_whole_images(detector, tiles, tiles.golden)
            _report(of_images, of_images.computed(), _OF_IMAGES)
        return
    opened = _opened(args.engine, args.file)
    if tiles is None:
        _report(standard, opened.score(images))
    else:
        _verify_tiled(opened, detector, tiles)


def _verify_tiled(opened: Opened, detector: StoredChain, tiles: StoredTiles) -> None:
    """Compare what was exported of a detector of tiles, and our op before, which may have to stand in for it."""
    standard = standard_for(opened, detector, tiles)
    if tiles.golden is not None:
        own = standard_of_whole_images(detector, tiles, tiles.golden)
        _check(own, own.differences(own.computed()), _OF_IMAGES)
    if standard.golden is not tiles.golden:
        shape = "x".join(map(str, opened.image_shape))
        print(f"Compared with our op on noise of {shape}: golden scores are of other images.", file=sys.stderr)
    _report(standard, opened.score(standard.golden.images), _OF_IMAGES)


def _report(standard: Standard, parts: Mapping[str, Array], prefix: str = "") -> None:
    differences = standard.differences(parts)
    for name, difference in differences.items():
        print(f"{prefix}{name}: {difference:.1e}")
    _check(standard, differences, prefix)


def _check(standard: Standard, differences: Mapping[str, float], prefix: str = "") -> None:
    allowed = standard.allowed()
    worst = max(differences, key=lambda name: differences[name] / allowed[name])
    if differences[worst] > allowed[worst]:
        raise ValueError(
            f"{prefix}{worst} differs from the golden scores by {differences[worst]:.1e}; "
            f"{allowed[worst]:.2g} is allowed"
        )


def _opened(engine: str, file: Path) -> Opened:
    try:
        return EXPORTED[engine](file)
    except ImportError as error:
        raise RuntimeError(str(error)) from error
