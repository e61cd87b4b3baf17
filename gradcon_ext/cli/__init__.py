"""The command line, `gradcon`."""

from __future__ import annotations

# First, so that an installation that cannot work is told of before anything else goes wrong.
from gradcon_ext import _compiled as _compiled  # isort: split

import argparse
import os
import sys
from collections.abc import Sequence

from gradcon_ext.cli import demo, download, evaluate, info, reproduce, score, train
from gradcon_ext.cli.arguments import HelpFormatter
from gradcon_ext.version import __version__

__all__ = ["main"]

_DESCRIPTION = """\
Find anomalous images: train an autoencoder on normal ones, and score others by
how badly it reconstructs them and by how far their gradients are from those of
training (GradCon).
"""

_EPILOG = """\
examples:
  gradcon demo                                    everything once, in a minute
  gradcon train --images photos --out runs/photos
  gradcon score runs/photos new-photos --out scores.csv

exit codes: 0 success, 1 failure, 2 bad usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; those of this process by default.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for bad usage, 130 after Ctrl-C.
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # after --help, --version or bad usage; argparse has printed all there is to say
        return int(stop.code or 0)
    try:
        args.run(args)
        sys.stdout.flush()  # here, where a closed pipe is still met
    except argparse.ArgumentError as error:
        print(f"{args.usage}gradcon: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gradcon: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has had enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NotImplementedError, RecursionError):  # kinds of RuntimeError, but mistakes of this program
        raise
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
        if args.traceback:
            raise
        print(f"gradcon: error: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradcon", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"gradcon {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the program an error arose")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, download, train, score, evaluate, reproduce, info):
        subparser = command.add_parser(commands)
        subparser.set_defaults(run=command.run, usage=subparser.format_usage())
    return parser


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
