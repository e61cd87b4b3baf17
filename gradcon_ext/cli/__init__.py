"""The command line, `gradcon`."""

from __future__ import annotations

# First, so that an installation that cannot work is told of before anything else goes wrong.
from gradcon_ext._install import ops as ops  # isort: split

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from gradcon_ext._install.freed_memory import keep_freed_memory
from gradcon_ext.cli import (
    check,
    demo,
    download,
    evaluate,
    export,
    info,
    report,
    reproduce,
    score,
    serve,
    train,
    verify,
)
from gradcon_ext.cli.arguments import HelpFormatter
from gradcon_ext.cli.config import CommandParser
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

exit codes: 0 success, 1 failure, 2 bad usage, 3 success but for images that
cannot be read, 130 interrupted, 143 terminated
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; those of this process by default.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for bad usage, 3 for success but for images that cannot be read,
        130 after Ctrl-C, 143 after SIGTERM.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are not UTF-8 pass unchanged
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # after --help, --version or bad usage; argparse has printed all there is to say
        return int(stop.code or 0)
    try:
        keep_freed_memory()  # a command computes and ends: what it frees it needs again
        code = args.run(args)
        sys.stdout.flush()  # here, where a closed pipe is still met
    except argparse.ArgumentError as error:
        print(f"{args.usage}gradcon: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT  # `gradcon_ext.__main__` says which signal it was
        print(f"gradcon: {'interrupted' if number == signal.SIGINT else 'terminated'}", file=sys.stderr)
        return 128 + int(number)
    except BrokenPipeError:
        _drop_output()  # the reader, such as `head`, has had enough
        return 1
    except OSError as error:
        if args.traceback:
            raise
        print(f"gradcon: error: {_one_line(error)}", file=sys.stderr)
        _drop_output()
        return 1
    except (NotImplementedError, RecursionError):  # kinds of RuntimeError, but mistakes of this program
        raise
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        if args.traceback:
            raise
        print(f"gradcon: error: {_one_line(error)}", file=sys.stderr)
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradcon", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"gradcon {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the program an error arose")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in (demo, download, check, train, score, serve, evaluate, report, export, verify, reproduce, info):
        subparser = command.add_parser(commands)
        subparser.set_defaults(run=command.run, usage=subparser.format_usage())
    return parser


def _drop_output() -> None:
    """Where standard output cannot take what is left, Python would complain once more when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # files are named by what writes them
        return f"standard output: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
