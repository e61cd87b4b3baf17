"""What the arguments of several commands have in common."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:  # argparse has no public names for them
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
    Group: TypeAlias = argparse._ActionsContainer  # a parser, or a group of its arguments

HelpFormatter = argparse.RawDescriptionHelpFormatter


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
        type=Path,
        default=os.environ.get("GRADCON_DATA"),
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


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """Parse a whole number of at least 0."""
    return _whole(text, 0)


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    value = non_negative_float(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a number above 0, got 0")
    return value


def non_negative_float(text: str) -> float:
    """Parse a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def device(text: str) -> torch.device:
    """Parse the name of a device that this machine has."""
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without the device
        reason = str(error).partition("\n")[0]
        raise argparse.ArgumentTypeError(f"device {text!r} is not available: {reason}") from error


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return int(text)
