"""What the arguments of several commands have in common."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from gradcon_ext._install.device import usable_device
from gradcon_ext.chain.upsampling import MOST_DEPTH

if TYPE_CHECKING:  # argparse has no public names for them
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
    Group: TypeAlias = argparse._ActionsContainer  # a parser, or a group of its arguments

HelpFormatter = argparse.RawDescriptionHelpFormatter

_LARGEST_FLOAT = 1000.0


def add_command(commands: Commands, name: str, summary: str, details: str, examples: str) -> argparse.ArgumentParser:
    """Add a command to those of `gradcon`.

    Args:
        commands: the commands so far.
        name: of the command.
        summary: one line for the list of commands.
        details: lines that come after the summary in the command's own help.
        examples: lines that end the command's own help.
    """
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
        epilog=f"examples:\n{examples}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )


def add_data_root(parser: Group) -> None:
    """Add `--data-root`."""
    parser.add_argument(
        "--data-root",
        metavar="DIR",
        type=path,
        default=os.environ.get("GRADCON_DATA") or None,
        help="folder of the data sets' original files (default: the environment variable GRADCON_DATA)",
    )


def add_device(parser: Group) -> None:
    """Add `--device`."""
    parser.add_argument("--device", type=device, default="cpu", help='"cpu", "cuda" or "cuda:1" (default: %(default)s)')


def add_batch_size(parser: Group, default: int) -> None:
    """Add `--batch-size`."""
    parser.add_argument(
        "--batch-size", metavar="N", type=positive_int, default=default, help="images at a time (default: %(default)s)"
    )


def path(text: str) -> Path:
    """Parse a path; an empty one, such as a variable of a shell that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one; the current folder is .")
    return Path(text)


def path_or_url(text: str) -> Path | str:
    """Parse a path, or a URL of fsspec, which stays a text."""
    return text if "://" in text else path(text)


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1 that torch takes as a size."""
    return _whole(text, 1, 2**31 - 1)


def depth(text: str) -> int:
    """Parse a number of convolutions."""
    return _whole(text, 1, MOST_DEPTH)


def count(text: str) -> int:
    """Parse a whole number of at least 0."""
    return _whole(text, 0, 2**31 - 1)


def pixels(text: str) -> int:
    """Parse the height and width of images."""
    return _whole(text, 1, 2**14)


def workers(text: str) -> int:
    """Parse a number of threads."""
    return _whole(text, 1, 1024)


def seed(text: str) -> int:
    """Parse a whole number of at least 0 that torch takes as a seed."""
    return _whole(text, 0, 2**63 - 1)


def rate(text: str) -> float:
    """Parse a number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and below 1, got {text!r}")
    return value


def learning_rate(text: str) -> float:
    """Parse a number above 0 that single precision can square."""
    value = weight(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a number above 0, got 0")
    return value


def weight(text: str) -> float:
    """Parse a number of at least 0 that single precision can square."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LARGEST_FLOAT:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_LARGEST_FLOAT:g}, got {text!r}")
    return value


def device(text: str) -> torch.device:
    """Parse the name of a device that this machine has and the ops have kernels for."""
    try:
        return usable_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(text: str, least: int, most: int) -> int:
    # Python refuses to convert very many digits.
    if not text.isdecimal() or len(text) > 100 or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got {text[:100]!r}")
    return int(text)
