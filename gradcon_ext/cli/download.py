"""`gradcon download`."""

from __future__ import annotations

import argparse
import sys

from gradcon_ext.cli import arguments
from gradcon_ext.data.download import SOURCES, download

_DETAILS = """\
Fetches the original files of mnist (12 MB), fashion-mnist (31 MB) or cifar10
(170 MB), compares their checksums with the published ones, and puts them where
the other commands look. Nothing that is there is replaced. Without a network,
the same files can be put there by hand.

The digits come with scikit-learn and need no download. CURE-TSR has to be asked
for from its authors: https://github.com/olivesgatech/CURE-TSR.
"""

_EXAMPLES = """\
  gradcon download mnist --data-root data
  gradcon download mnist fashion-mnist cifar10 --data-root data
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = arguments.add_command(commands, "download", "download data sets", _DETAILS, _EXAMPLES)
    parser.add_argument("names", metavar="NAME", nargs="+", choices=tuple(SOURCES), help=", ".join(SOURCES))
    arguments.add_data_root(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Download what is not there yet."""
    if args.data_root is None:
        raise argparse.ArgumentError(None, "give the folder for the files: --data-root, or GRADCON_DATA")
    for name in args.names:
        files = download(name, args.data_root, progress=sys.stderr.isatty())
        if files:
            print(f"Downloaded {', '.join(file.name for file in files)} to {files[0].parent}.")
        else:
            print(f"{name} is in {args.data_root} already; nothing was downloaded.")
