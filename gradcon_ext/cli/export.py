"""`gradcon export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gradcon_ext.cli import arguments
from gradcon_ext.cli.reading_options import image_size
from gradcon_ext.detector.stored_chain import read_stored_chain
from gradcon_ext.export.onnx_file import write_onnx
from gradcon_ext.export.pt2 import exported, write_compiled, write_pt2

_DETAILS = """\
The whole score, for any number of images at a time: forward and backward
pass, alignments and all parts, with the weights and references of the
detector.

  onnx   a graph of standard ONNX operators, float32, for any engine; needs
         pip install 'gradcon_ext[onnx]'
  pt2    a program of torch.export around our op: torch.export.load runs it
         in a process that has imported gradcon_ext.ops
  aoti   that program compiled by AOTInductor, which needs a C++ compiler

Images are given in the channels and size of the detector, as uint8 from 0 to
255 or floating point from 0 to 1. The outputs are named like the columns of
`gradcon score`, with one "cosine" (N, layers).

A program of a detector of tiles cuts images, scores their tiles and pools the
scores. It takes images of one size, which --size gives where the detector's
may have any. The outputs that begin with "tiles." are the scores of the tiles,
(N, rows, columns). Of a detector of feature maps it takes the maps: the network
that makes them stays outside.
"""

_EXAMPLES = """\
  gradcon export runs/photos --to onnx
  gradcon export runs/photos --to onnx --input uint8 --out photos.onnx
  gradcon export runs/tiles --to onnx --size 480x640
  gradcon verify runs/photos --engine onnx --file photos.onnx
"""

_SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "aoti": ".pt2"}


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "write a detector's scores as a program that others run"
    parser = arguments.add_command(commands, "export", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "detector", metavar="DETECTOR", type=arguments.path, help="a run's folder, or a detector's file"
    )
    parser.add_argument("--to", choices=tuple(_SUFFIXES), required=True, help="format")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=arguments.path,
        help="file to write, which must not be there yet (default: in the current folder, with DETECTOR's name)",
    )
    parser.add_argument(
        "--input",
        choices=("float", "uint8"),
        default="float",
        help="what images will be given as (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        type=image_size,
        help="height and width of the images, as 256 or 480x640: for a detector of tiles of images of any size",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Export a detector."""
    suffix = _SUFFIXES[args.to]
    given = args.detector.resolve()
    out = args.out or Path((given.name if given.is_dir() else given.stem) + suffix)
    if out.suffix != suffix:
        raise ValueError(f"--out {out}: a file of this format has a name that ends in {suffix}")
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} is there already: move it, or give another --out")
    _, detector = read_stored_chain(args.detector)
    in_bytes = args.input == "uint8"
    if in_bytes and detector.takes_features:
        raise ValueError("--input uint8: the detector scores feature maps, which are floating point")
    try:
        if args.to == "onnx":
            write_onnx(out, detector, in_bytes, args.size)
        else:
            write = write_pt2 if args.to == "pt2" else write_compiled
            write(out, exported(detector, in_bytes, args.size))
    except ImportError as error:
        raise RuntimeError(str(error)) from error
    print(f"Wrote {out}.\nNext: gradcon verify {args.detector} --engine {args.to} --file {out}")
