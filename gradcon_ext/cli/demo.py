"""`gradcon demo`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch

from gradcon_ext.cli import arguments, evaluate, train
from gradcon_ext.cli.config import CommandParser
from gradcon_ext.training.run_contents import holds_run, visible_files

_OUT = Path("runs/demo")

_DETAILS = """\
Trains on one of the small digits that come with scikit-learn, and tells it from
the others; nothing is downloaded. These are the commands `gradcon train` and
`gradcon evaluate`, which are shown.
"""

_EXAMPLES = """\
  gradcon demo
  gradcon demo --inlier 7 --seed 1 --out runs/sevens
"""

_NEXT = """\
Next, train on a folder of your own normal images, and score others:

  gradcon train --images FOLDER --out runs/mine
  gradcon score runs/mine OTHER-FOLDER --out scores.csv
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "train, score and evaluate on digits, in under a minute"
    parser = arguments.add_command(commands, "demo", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=arguments.path,
        default=_OUT,
        help="folder of the run (default: %(default)s, replaced each time)",
    )
    parser.add_argument("--inlier", metavar="DIGIT", default="2", help="the normal class (default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=arguments.seed, default=0, help="of the run (default: %(default)s)")
    parser.add_argument(
        "--epochs", metavar="N", type=arguments.positive_int, help="passes (default: those of gradcon train)"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the commands of the demonstration."""
    out, data = str(args.out), ["--dataset", "digits", "--inlier", args.inlier, "--seed", str(args.seed), "--calibrate"]
    # A decoder that begins anew behind a code of so few digits hardly learns.
    steps = ["--lead-in", "0", *([] if args.epochs is None else ["--epochs", str(args.epochs)])]
    # What the demonstration keeps in its own folder may be replaced; what stands anywhere else may not.
    overwrite = ["--overwrite"] if args.out == _OUT else []
    if not overwrite and visible_files(args.out):
        held = "a run" if holds_run(args.out) else "files"
        raise FileExistsError(f"{args.out} holds {held} already: give another --out, or none")
    with _one_thread():
        _run(train, ["train", *data, *steps, "--out", out, *overwrite])
        _run(evaluate, ["evaluate", out])
    print(_NEXT, end="")


def _run(command: ModuleType, words: list[str]) -> None:
    print(f"$ gradcon {shlex.join(words)}", flush=True)
    parser = CommandParser(prog="gradcon")
    command.add_parser(parser.add_subparsers())
    command.run(parser.parse_args(words))
    print()


@contextmanager
def _one_thread() -> Iterator[None]:
    """On images this small, several threads wait for each other more than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
