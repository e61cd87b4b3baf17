"""`gradcon verify`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from gradcon_ext.cli import arguments
from gradcon_ext.detector.stored_chain import Array, StoredChain, read_stored_chain
from gradcon_ext.export.engines import EXPORTED, OWN, TOLERANCE, allowed_differences, largest_differences

_DETAILS = f"""\
A detector's file holds a few images of noise and their scores from when it
was saved. They are scored once more by an engine, and the largest difference
of each part is printed, relative to scores above 1 (of the balanced score, to
the size of what is added up). More than {TOLERANCE:g} is a failure, or than four times
what float32 itself loses where that is more. Of a detector of tiles the images
are single tiles.

  fused      our op, which gradcon score uses by default
  runtime    gradcon_ext.runtime, which needs no torch
  any-model  the model itself, of which each sample's gradient is formed
  onnx, pt2, aoti  a file that gradcon export wrote, given by --file
"""

_EXAMPLES = """\
  gradcon verify runs/photos
  gradcon verify runs/photos --engine onnx --file photos.onnx
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "compare an engine with the scores in a detector's file"
    parser = arguments.add_command(commands, "verify", summary, _DETAILS, _EXAMPLES)
    parser.add_argument("detector", metavar="DETECTOR", type=Path, help="a run's folder, or a detector's file")
    parser.add_argument("--engine", choices=(*OWN, *EXPORTED), default="fused", help="default: %(default)s")
    parser.add_argument("--file", metavar="FILE", type=Path, help="what gradcon export wrote")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the differences; raise ValueError if one is too large."""
    if (args.engine in EXPORTED) != (args.file is not None):
        raise argparse.ArgumentError(None, f"--file goes with --engine {', '.join(EXPORTED)}, and only with those")
    path, detector = read_stored_chain(args.detector)
    if detector.golden is None:
        raise ValueError(
            f"{path} holds no golden scores, for an earlier version wrote it: Detector.load(path).save(path) adds them"
        )
    parts = _scored(args, path, detector, detector.golden.images)
    differences = largest_differences(detector, detector.golden, parts)
    for name, difference in differences.items():
        print(f"{name}: {difference:.1e}")
    allowed = allowed_differences(detector, detector.golden)
    worst = max(differences, key=lambda name: differences[name] / allowed[name])
    if differences[worst] > allowed[worst]:
        raise ValueError(
            f"{worst} differs from the golden scores by {differences[worst]:.1e}; {allowed[worst]:.2g} is allowed"
        )


def _scored(args: argparse.Namespace, path: Path, detector: StoredChain, images: Array) -> Mapping[str, Array]:
    if args.engine in OWN:
        return OWN[args.engine](path, detector, images)
    try:
        return EXPORTED[args.engine](args.file, images)
    except ImportError as error:
        raise RuntimeError(str(error)) from error
