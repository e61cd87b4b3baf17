"""`--ray`, of the commands that a Ray cluster can do."""

from __future__ import annotations

import argparse
from typing import Literal

from gradcon_ext._install.cluster import join_cluster
from gradcon_ext.cli import arguments

ANY = ""
"""What `--ray` without an address is."""


def add_ray(parser: arguments.Group, what: str) -> None:
    """Add `--ray`; `what` is what it does."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        nargs="?",
        const=ANY,
        help=f"{what}; without an address that of RAY_ADDRESS, or one that runs on this machine, or else one of its "
        "cores. Needs the extra ray",
    )


def cluster_of(args: argparse.Namespace) -> Literal["ray"] | None:
    """Connect to the cluster that is asked for, if one is.

    Raises:
        ValueError: Ray is not installed.
        ConnectionError: there is no such cluster.
    """
    if args.ray is None:
        return None
    try:
        join_cluster(args.ray or None)
    except ImportError as error:
        raise ValueError(str(error)) from error
    return "ray"
